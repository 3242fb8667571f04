"""Truncated SNR weighting."""

from __future__ import annotations

import numpy as np

from workflow_scripts.diffusion.weighting import from_x0


def truncated_snr(snr: np.ndarray, prediction_type: str) -> np.ndarray:
    """max(snr, 1), stated for x0: float64 [T] (Salimans & Ho 2022, section 4).

    For eps it reaches 4e8 at the last timestep of the cosine schedule.
    """
    return from_x0(np.maximum(snr, 1.0), snr, prediction_type)
