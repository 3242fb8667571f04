from __future__ import annotations

import numpy as np
import pytest
from pytorch_fid.fid_score import compute_statistics_of_path

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.metrics.statistics import (
    StreamingStatistics,
    load_statistics,
    save_statistics,
    statistics_of,
)

# Summation order is all that differs from numpy's two-pass formula, so float64 agreement to about 1e-12.
EXACT = {"rtol": 1e-11, "atol": 1e-11}


def features_with_a_large_mean():
    # A mean of 1000 spreads: the naive E[x^2] - E[x]^2 would lose six digits here.
    generator = np.random.default_rng(3)
    return generator.normal(size=(97, 7)) @ generator.normal(size=(7, 7)) + 1000.0


@pytest.mark.parametrize("cuts", [[97], [1] * 97, [50, 47], [1, 0, 95, 1], [33, 33, 31]])
def test_any_batching_gives_numpys_mean_and_covariance(cuts):
    features = features_with_a_large_mean()
    streaming = StreamingStatistics(7)
    for batch in np.split(features, np.cumsum(cuts)[:-1]):
        streaming.update(batch)
    result = streaming.result()
    assert result.count == 97
    np.testing.assert_allclose(result.mu, features.mean(axis=0), **EXACT)
    np.testing.assert_allclose(result.sigma, np.cov(features, rowvar=False), **EXACT)


def test_merging_two_halves_equals_seeing_all():
    features = features_with_a_large_mean()
    first, second, empty = StreamingStatistics(7), StreamingStatistics(7), StreamingStatistics(7)
    first.update(features[::2])
    second.update(features[1::2])
    second.merge(empty)
    empty.merge(first)
    empty.merge(second)
    merged, expected = empty.result(), statistics_of(features)
    assert merged.count == 97
    np.testing.assert_allclose(merged.mu, expected.mu, **EXACT)
    np.testing.assert_allclose(merged.sigma, expected.sigma, **EXACT)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((4, 3)), "shape"),
        (np.zeros(2), "shape"),
        (np.array([[0.0, np.nan]]), "not finite"),
        (np.array([[0.0, np.inf]]), "not finite"),
        (np.zeros((1, 2)), "needs 2 feature vectors, got 1"),
    ],
)
def test_bad_and_too_few_features_are_refused(features, message):
    streaming = StreamingStatistics(2)
    with pytest.raises(PipelineError, match=message):
        streaming.update(features)
        streaming.result()


def test_file_round_trips_and_pytorch_fid_reads_it(tmp_path):
    path = tmp_path / "reference.npz"
    statistics = statistics_of(features_with_a_large_mean())
    save_statistics(path, statistics, extractor="fd_digits")
    loaded = load_statistics(path)
    mu, sigma = compute_statistics_of_path(str(path), model=None, batch_size=1, dims=7, device="cpu")
    assert loaded.count == 97
    assert np.load(path)["extractor"] == "fd_digits"
    for read in (loaded.mu, mu):
        np.testing.assert_array_equal(read, statistics.mu)
    for read in (loaded.sigma, sigma):
        np.testing.assert_array_equal(read, statistics.sigma)


def test_damaged_or_misshapen_files_are_named(tmp_path):
    path = tmp_path / "reference.npz"
    save_statistics(path, statistics_of(features_with_a_large_mean()))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(PipelineError, match="reference.npz"):
        load_statistics(path)
    np.savez(path, mu=np.zeros(3), sigma=np.zeros((2, 2)), count=np.int64(5))
    with pytest.raises(PipelineError, match="reference.npz does not hold"):
        load_statistics(path)
