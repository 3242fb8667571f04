from __future__ import annotations

import numpy as np
import pytest
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.statistics import GaussianStatistics, statistics_of


def gaussian(seed, dim, count, scale=1.0):
    """Statistics of `count` vectors whose variances span four decades, as those of real features do."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(dim, dim)) * np.logspace(0, -2, dim) * scale
    return statistics_of(generator.normal(size=(count, dim)) @ mixing + generator.normal(size=dim))


def torch_fidelity_distance(first, second):
    sides = [{"mu": side.mu, "sigma": side.sigma} for side in (first, second)]
    return fid_statistics_to_metric(*sides, verbose=False)[KEY_METRIC_FID]


@pytest.mark.parametrize(
    ("dim", "count"), [(1, 10), (8, 200), (64, 1500), (200, 400), (600, 1500)]
)  # the last is LARGE
def test_equals_torch_fidelity(dim, count):
    first, second = gaussian(0, dim, count), gaussian(1, dim, count, scale=1.3)
    assert frechet_distance(first, second) == pytest.approx(torch_fidelity_distance(first, second), rel=1e-6)


def test_equals_pytorch_fid():
    first, second = gaussian(0, 64, 1500), gaussian(1, 64, 300, scale=0.7)
    theirs = calculate_frechet_distance(first.mu, first.sigma, second.mu, second.sigma)
    assert frechet_distance(first, second) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([4.0, 1.0, 9.0, 0.25, 2.0, 1e-6], [1.0, 1.0, 16.0, 0.0625, 3.0, 4e-6]),
        # Directions that either or both sides lack. 1e-12 is far below the 1e-8 that the square root of a
        # rounding error would leave.
        ([4.0, 1.0, 0.0, 0.0], [9.0, 0.25, 0.0, 0.0]),
        ([4.0, 1.0, 0.0, 0.0], [9.0, 0.25, 5.0, 0.0]),
        ([4.0, 1.0, 5.0, 0.0], [9.0, 0.25, 0.0, 0.0]),
        ([4.0, 1.0, 5.0, 2.0], [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_commuting_covariances_have_a_closed_form(a, b):
    # With a common basis the distance is |mu1 - mu2|^2 + sum (sqrt(a) - sqrt(b))^2 over the eigenvalues.
    generator = np.random.default_rng(5)
    basis, mu = np.linalg.qr(generator.normal(size=(len(a), len(a))))[0], generator.normal(size=len(a))
    first = GaussianStatistics(mu, basis @ np.diag(a) @ basis.T, 100)
    second = GaussianStatistics(np.zeros(len(a)), basis @ np.diag(b) @ basis.T, 100)
    expected = mu @ mu + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("first_count", "second_count"), [(20, 20), (20, 500), (500, 20), (2, 2)])
def test_fewer_vectors_than_dimensions(first_count, second_count):
    first, second = gaussian(0, 64, first_count), gaussian(1, 64, second_count)
    ours = frechet_distance(first, second)
    # Beyond rank deficiency torch-fidelity sums square roots of rounding errors, each up to about 1e-8 of the
    # largest eigenvalue, so it is the looser side of this comparison.
    scale = np.trace(first.sigma) + np.trace(second.sigma)
    assert ours == pytest.approx(torch_fidelity_distance(first, second), rel=1e-6, abs=64e-8 * scale)
    assert ours == pytest.approx(frechet_distance(second, first), rel=1e-10)


@pytest.mark.parametrize("count", [1500, 20, 2])
def test_a_distribution_is_at_distance_zero_from_itself(count):
    statistics = gaussian(2, 64, count)
    # The terms that cancel have the size of the trace; float64 leaves 1e-12 of it.
    assert 0.0 <= frechet_distance(statistics, statistics) <= 1e-12 * np.trace(statistics.sigma)


def test_other_shapes_and_values_that_are_not_finite_are_refused():
    good, changed = gaussian(0, 4, 50), gaussian(0, 4, 50)
    with pytest.raises(PipelineError, match="same extractor"):
        frechet_distance(good, gaussian(0, 5, 50))
    for array in (changed.mu, changed.sigma):
        array.flat[1] = np.nan
        with pytest.raises(PipelineError, match="not finite"):
            frechet_distance(good, changed)
        array.flat[1] = 1.0
