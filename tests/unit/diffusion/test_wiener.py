"""The Wiener error: a closed form, and least squares on drawn data."""

from __future__ import annotations

import numpy as np
import pytest

from workflow_scripts.diffusion.wiener import covariance_eigenvalues, wiener_eps_mse


def test_of_white_data_it_is_the_share_of_the_signal():
    alphas_cumprod = np.array([0.9, 0.5, 0.1])
    # of variance 1, a linear estimate of the noise keeps the error a
    assert wiener_eps_mse(np.ones(4), alphas_cumprod) == pytest.approx(0.5)
    assert wiener_eps_mse(np.array([3.0]), np.array([0.5])) == pytest.approx(1.5 / 2)
    assert wiener_eps_mse(np.zeros(2), alphas_cumprod) == 0  # no data, all noise


def test_least_squares_finds_no_better_linear_denoiser():
    draw = np.random.default_rng(0)
    images = (draw.integers(0, 2, (40, 3, 1, 1)) * 255).astype(np.uint8).repeat(2, axis=2)
    images[:, 0] = images[:, 1]
    x = np.repeat(images.reshape(40, 6) / 127.5 - 1, 5000, axis=0)
    noise, a = draw.standard_normal(x.shape), 0.3
    noisy = np.column_stack([a**0.5 * x + (1 - a) ** 0.5 * noise, np.ones(len(x))])
    error = noise - noisy @ np.linalg.lstsq(noisy, noise, rcond=None)[0]
    expected = wiener_eps_mse(covariance_eigenvalues(images), np.array([a]))
    assert np.mean(error**2) == pytest.approx(expected, rel=0.01)
