"""Mean and covariance of feature vectors, gathered batch by batch, and the npz that keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_npz_dict, write_npz

NORMAL_QUANTILE = 1.959964  # of 97.5 %


def normal_interval(value: float, stderr: float) -> tuple[float, float]:
    """The 95 % interval `value` ± 1.96 `stderr` of an unbiased, nearly normal estimate."""
    return value - NORMAL_QUANTILE * stderr, value + NORMAL_QUANTILE * stderr


@dataclass(frozen=True)
class GaussianStatistics:
    """A Gaussian fitted to `count` feature vectors: `mu` f64 [D] and the unbiased `sigma` f64 [D, D]."""

    mu: np.ndarray
    sigma: np.ndarray
    count: int


class StreamingStatistics:
    """Float64 mean and covariance of the vectors seen so far, whatever their batches; memory O(D^2).

    Batches are joined by the pairwise update of Chan, Golub and LeVeque 1979 ("Updating formulae and a
    pairwise algorithm for computing sample variances"), accurate even when the mean is far larger than the
    spread.
    """

    def __init__(self, dim: int):
        self.count = 0
        self._mean = np.zeros(dim)
        self._scatter = np.zeros((dim, dim))  # sum of (x - mean)(x - mean)^T

    def update(self, features: np.ndarray) -> None:
        """Add a batch [N, D], N >= 0, of any float type; PipelineError on another D or non-finite values."""
        dim = self._mean.shape[0]
        if features.ndim != 2 or features.shape[1] != dim:
            raise PipelineError(
                f"features must have shape [N, {dim}], got {features.shape}; check extractor.feature_dim"
            )
        if not np.isfinite(features).all():
            raise PipelineError("features hold values that are not finite; check the extractor's weights")
        if len(features) == 0:
            return
        features = features.astype(np.float64)
        mean = features.mean(axis=0)
        centred = features - mean
        self._join(len(features), mean, centred.T @ centred)

    def merge(self, other: StreamingStatistics) -> None:
        """Add every vector that `other` has seen."""
        if other.count:
            self._join(other.count, other._mean, other._scatter)

    def _join(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        total = self.count + count
        delta = mean - self._mean
        self._scatter = self._scatter + scatter + np.outer(delta, delta) * (self.count * count / total)
        self._mean = self._mean + delta * (count / total)
        self.count = total

    def result(self) -> GaussianStatistics:
        """The statistics so far, covariance with ddof=1 as in `np.cov`; PipelineError below two vectors."""
        if self.count < 2:
            raise PipelineError(f"a covariance needs 2 feature vectors, got {self.count}; use more images")
        return GaussianStatistics(self._mean.copy(), self._scatter / (self.count - 1), self.count)


def statistics_of(features: np.ndarray) -> GaussianStatistics:
    """Statistics of all vectors [N, D] at once."""
    streaming = StreamingStatistics(features.shape[-1])
    streaming.update(features)
    return streaming.result()


def save_statistics(path: str | Path, statistics: GaussianStatistics, **origin: str) -> None:
    """Write `mu` and `sigma` as pytorch-fid reads them, `count`, and strings that tell the origin."""
    write_npz(path, mu=statistics.mu, sigma=statistics.sigma, count=np.int64(statistics.count), **origin)


def load_statistics(path: str | Path) -> GaussianStatistics:
    """Read what `save_statistics` wrote; PipelineError names a missing, damaged or misshapen file."""
    content = read_npz_dict(path)
    mu, sigma, count = (content.get(name, np.empty(0)) for name in ("mu", "sigma", "count"))
    if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)) or count.ndim != 0:
        raise PipelineError(f"{path} does not hold mu [D], sigma [D, D] and count; delete it and run again")
    return GaussianStatistics(mu.astype(np.float64), sigma.astype(np.float64), int(count))
