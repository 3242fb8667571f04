"""Inception Score; only where the extractor is Inception."""

from __future__ import annotations

import numpy as np

from workflow_scripts.metrics import fidelity
from workflow_scripts.metrics.measures import Measured

ROWS = {"inception_score": {"better": "higher"}}
MIN_SAMPLES = 10


def inception_score(logits: np.ndarray) -> Measured:
    """Salimans et al. 2016, section 4; the standard error is the deviation between 10 splits."""
    return Measured(*fidelity.inception_score(logits))
