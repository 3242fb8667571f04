"""The weighting of a plain DDPM."""

from __future__ import annotations

import numpy as np


def uniform(snr: np.ndarray, prediction_type: str) -> np.ndarray:
    """1 at every timestep, in any prediction space: float64 [T] (Ho et al. 2020, eq. 14)."""
    return np.ones_like(snr)
