"""Precision and recall of samples against training images."""

from __future__ import annotations

import numpy as np

from workflow_scripts.metrics import fidelity

ROWS = {"precision": {"better": "higher"}, "recall": {"better": "higher"}}
MIN_SAMPLES = 4


def precision_recall(features: np.ndarray, reference_features: np.ndarray) -> dict[str, float]:
    """Kynkäänniemi et al. 2019, eq. 1 to 3, both in [0, 1]."""
    return dict(zip(ROWS, fidelity.precision_and_recall(features, reference_features)))
