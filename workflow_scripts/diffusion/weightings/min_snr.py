"""Min-SNR weighting."""

from __future__ import annotations

import numpy as np

from workflow_scripts.diffusion.weighting import from_x0


def min_snr(snr: np.ndarray, prediction_type: str, gamma: float) -> np.ndarray:
    """min(snr, gamma), stated for x0: float64 [T] (Hang et al. 2023, section 3.4)."""
    return from_x0(np.minimum(snr, gamma), snr, prediction_type)
