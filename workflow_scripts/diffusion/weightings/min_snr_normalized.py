"""Min-SNR weighting with a mean of 1, which keeps the size of the gradient."""

from __future__ import annotations

import numpy as np

from workflow_scripts.diffusion.weighting import from_x0


def min_snr_normalized(snr: np.ndarray, prediction_type: str, gamma: float) -> np.ndarray:
    """`min_snr` divided by its mean over t: float64 [T]."""
    weights = from_x0(np.minimum(snr, gamma), snr, prediction_type)
    return weights / weights.mean()
