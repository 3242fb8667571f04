"""Fréchet distance between samples and training images."""

from __future__ import annotations

import numpy as np

from workflow_scripts.metrics.frechet import frechet_distance as distance
from workflow_scripts.metrics.statistics import GaussianStatistics, statistics_of

ROWS = {"fid": {"better": "lower"}, "fd_*": {"better": "lower"}, "rot_*": {"better": "lower"}}


def frechet_distance(features: np.ndarray, reference: GaussianStatistics, extractor: str) -> dict[str, float]:
    """Heusel et al. 2017, eq. 6, named after the extractor: FID only with Inception's features."""
    return {extractor: distance(statistics_of(features), reference)}
