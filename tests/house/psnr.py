"""Peak signal-to-noise ratio of samples against the targets that they should restore."""

from __future__ import annotations

import numpy as np

ROWS = {"psnr": {"better": "higher", "unit": "dB"}}


def psnr(samples: np.ndarray, targets: np.ndarray) -> float:
    """The mean over images of 10 log10(1 / MSE), in dB, of u8 images [N, H, W, C] with a data range of 1.

    Sample i restores target i. An image equal to its target counts as one that is off by one level in one
    value.
    """
    errors = (samples.astype(np.float64) - targets[: len(samples)]) / 255
    smallest = 1 / (255**2 * errors[0].size)
    mse = np.maximum(np.square(errors).mean(axis=(1, 2, 3)), smallest)
    return float((10 * np.log10(1 / mse)).mean())
