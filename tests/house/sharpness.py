"""Sharpness of samples, as a ratio to that of the training images."""

from __future__ import annotations

import numpy as np

ROWS = {"sharpness": {"better": 1, "unit": "ratio to real"}}


def sharpness(samples: np.ndarray, real: np.ndarray) -> float:
    """Mean variance of the Laplacian of u8 images [N, H, W, C], divided by that of [M, H, W, C].

    The five-point Laplacian of inner pixels (Pech-Pacheco et al. 2000, "Diatom autofocusing"), of each
    channel. White noise of variance s² has 20 s². 1 is the target; above it are noise and artefacts.
    """
    return float(_laplacian_variance(samples) / _laplacian_variance(real))


def _laplacian_variance(images: np.ndarray) -> float:
    x = images.astype(np.float64)
    middle = x[:, 1:-1, 1:-1]
    laplacian = x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:] - 4 * middle
    return float(laplacian.var(axis=(1, 2)).mean())
