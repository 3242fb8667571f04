"""Mean and covariance of feature vectors, gathered batch by batch, and the npz they are kept in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_npz_dict, write_npz

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Origin:
    """Which network saw which images; other programs' files do not say."""

    extractor: str = UNKNOWN
    extractor_sha256: str = UNKNOWN
    dataset_sha256: str = UNKNOWN


@dataclass(frozen=True)
class GaussianStatistics:
    """A Gaussian fitted to features: `mu` f64 [D], `sigma` f64 [D, D] (unbiased), `count` vectors it was fitted to.

    `count` is None where a file does not say it.
    """

    mu: np.ndarray
    sigma: np.ndarray
    count: int | None
    origin: Origin = Origin()


class StreamingStatistics:
    """Float64 mean and covariance of the vectors seen so far, the same for every way of cutting them into batches.

    Batches are joined by the pairwise update of Chan, Golub and LeVeque 1979 ("Updating formulae and a pairwise
    algorithm for computing sample variances"), accurate even with a mean far larger than the spread. Memory: O(D^2).
    """

    def __init__(self, dim: int):
        self.count = 0
        self._mean = np.zeros(dim)
        self._scatter = np.zeros((dim, dim))  # sum of (x - mean)(x - mean)^T

    def update(self, features: np.ndarray) -> None:
        """Add a batch [N, D] of any float type; N may be 0. PipelineError on another D or on non-finite values."""
        dim = self._mean.shape[0]
        if features.ndim != 2 or features.shape[1] != dim:
            raise PipelineError(
                f"features must have shape [N, {dim}], got {list(features.shape)}; check extractor.feature_dim"
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
        """The statistics so far, covariance with ddof=1 as in `np.cov`. PipelineError below two vectors."""
        if self.count < 2:
            raise PipelineError(
                f"a covariance needs at least 2 feature vectors, got {self.count}; use more images"
            )
        return GaussianStatistics(self._mean.copy(), self._scatter / (self.count - 1), self.count)


def statistics_of(features: np.ndarray) -> GaussianStatistics:
    """Statistics of all vectors [N, D] at once."""
    streaming = StreamingStatistics(features.shape[-1])
    streaming.update(features)
    return streaming.result()


def save_statistics(path: str | Path, statistics: GaussianStatistics) -> None:
    """Write `mu`, `sigma`, `count` and the origin; pytorch-fid reads `mu` and `sigma` from the same file."""
    count = {} if statistics.count is None else {"count": np.int64(statistics.count)}
    write_npz(path, mu=statistics.mu, sigma=statistics.sigma, **count, **asdict(statistics.origin))


def load_statistics(path: str | Path) -> GaussianStatistics:
    """Read what `save_statistics` or pytorch-fid wrote; the latter's count is None and its origin unknown.

    A missing, damaged or misshapen file is a PipelineError that names it.
    """
    content = read_npz_dict(path)
    mu, sigma, count = (content.get(name) for name in ("mu", "sigma", "count"))
    if mu is None or sigma is None or mu.ndim != 1 or sigma.shape != (len(mu), len(mu)):
        raise PipelineError(f"{path} does not hold mu [D] and sigma [D, D]; delete it and run again")
    origin = Origin(**{name: str(content[name]) for name in asdict(Origin()) if name in content})
    return GaussianStatistics(
        mu.astype(np.float64), sigma.astype(np.float64), None if count is None else int(count), origin
    )
