"""Coverage of the training images by samples."""

from __future__ import annotations

import numpy as np

from workflow_scripts.metrics import fidelity

ROWS = {"coverage": {"better": "higher"}}
MIN_SAMPLES = 6


def coverage(features: np.ndarray, reference_features: np.ndarray) -> float:
    """Naeem et al. 2020, eq. 10, k = 5: in [0, 1]; unlike recall, no outlier among the samples widens it."""
    return fidelity.coverage(features, reference_features)
