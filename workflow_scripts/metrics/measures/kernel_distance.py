"""Kernel distance between samples and training images."""

from __future__ import annotations

import numpy as np

from workflow_scripts.metrics import fidelity
from workflow_scripts.metrics.measures import Measured

ROWS = {"kid": {"better": "lower"}, "kd_*": {"better": "lower"}}
MIN_SAMPLES = 3


def kernel_distance(
    features: np.ndarray, reference_features: np.ndarray, extractor: str
) -> dict[str, Measured]:
    """Binkowski et al. 2018, section 4, named after the extractor: KID only with Inception's features."""
    name = "kid" if extractor == "fid" else f"kd_{extractor.removeprefix('fd_')}"
    return {name: Measured(*fidelity.kernel_distance(features, reference_features))}
