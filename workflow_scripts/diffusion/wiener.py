"""The error of the best linear denoiser, which a network beats that learns more than covariances."""

from __future__ import annotations

import numpy as np

CHUNK = 4096


def covariance_eigenvalues(images: np.ndarray) -> np.ndarray:
    """Of u8 images [N, ...], scaled to [-1, 1]: float64 [D], D numbers per image."""
    flat = images.reshape(len(images), -1)
    size = flat.shape[1]
    total, products = np.zeros(size), np.zeros((size, size))
    for start in range(0, len(flat), CHUNK):
        part = flat[start : start + CHUNK] / 127.5 - 1
        total += part.sum(axis=0)
        products += part.T @ part
    mean = total / len(flat)
    return np.linalg.eigvalsh(products / len(flat) - np.outer(mean, mean)).clip(min=0)


def wiener_eps_mse(eigenvalues: np.ndarray, alphas_cumprod: np.ndarray) -> float:
    """The mean squared error of the noise, over timesteps [T] and dimensions [D], of the linear denoiser.

    For data with covariance C it is 1/D trace of a C (a C + (1 - a) I)^-1 at a = alphas_cumprod (Wiener 1949:
    the linear estimate of the noise with the least squared error). Predicting zero has the error 1.
    """
    a = alphas_cumprod[:, None]
    return float(np.mean(a * eigenvalues / (a * eigenvalues + 1 - a)))
