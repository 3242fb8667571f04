from __future__ import annotations

from dataclasses import asdict, replace
from unittest.mock import MagicMock

import numpy as np
import pytest
from pytorch_fid import fid_score
from pytorch_fid.fid_score import compute_statistics_of_path

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.statistics import (
    Origin,
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


def test_float32_features_are_summed_in_float64():
    features = features_with_a_large_mean().astype(np.float32)
    result = statistics_of(features)
    assert result.mu.dtype == result.sigma.dtype == np.float64
    np.testing.assert_allclose(result.sigma, np.cov(features.astype(np.float64), rowvar=False), **EXACT)


def test_merging_two_halves_equals_seeing_all():
    features = features_with_a_large_mean()
    first, second, empty = StreamingStatistics(7), StreamingStatistics(7), StreamingStatistics(7)
    first.update(features[::2])
    second.update(features[1::2])
    second.merge(empty)
    empty.merge(first)
    empty.merge(second)
    merged = empty.result()
    assert merged.count == 97
    np.testing.assert_allclose(merged.mu, features.mean(axis=0), **EXACT)
    np.testing.assert_allclose(merged.sigma, np.cov(features, rowvar=False), **EXACT)


def test_result_is_not_changed_by_later_batches():
    streaming = StreamingStatistics(2)
    streaming.update(np.array([[0.0, 1.0], [2.0, 3.0]]))
    result = streaming.result()
    streaming.update(np.array([[9.0, 9.0]]))
    np.testing.assert_array_equal(result.mu, [1.0, 2.0])
    np.testing.assert_array_equal(result.sigma, [[2.0, 2.0], [2.0, 2.0]])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((4, 3)), "shape"),
        (np.zeros(2), "shape"),
        (np.array([[0.0, np.nan]]), "not finite"),
        (np.array([[0.0, np.inf]]), "not finite"),
    ],
)
def test_bad_features_are_refused(features, message):
    with pytest.raises(PipelineError, match=message):
        StreamingStatistics(2).update(features)


@pytest.mark.parametrize("count", [0, 1])
def test_a_covariance_needs_two_vectors(count):
    with pytest.raises(PipelineError, match=f"at least 2 feature vectors, got {count}"):
        statistics_of(np.zeros((count, 3)))


def test_file_round_trips_and_pytorch_fid_reads_it(tmp_path):
    path = tmp_path / "reference.npz"
    statistics = statistics_of(features_with_a_large_mean())
    origin = Origin("fd_digits", "e" * 64, "d" * 64)
    save_statistics(path, replace(statistics, origin=origin))
    loaded = load_statistics(path)
    mu, sigma = compute_statistics_of_path(str(path), model=None, batch_size=1, dims=7, device="cpu")
    assert loaded.count == 97 and loaded.origin == origin
    for read in (loaded.mu, mu):
        np.testing.assert_array_equal(read, statistics.mu)
    for read in (loaded.sigma, sigma):
        np.testing.assert_array_equal(read, statistics.sigma)


def test_a_file_of_pytorch_fid_is_read_as_of_unknown_origin(tmp_path, monkeypatch):
    """Their own writer, on statistics of ours in place of those of Inception, whose weights it would download."""
    expected = statistics_of(features_with_a_large_mean())
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(fid_score, "InceptionV3", MagicMock(BLOCK_INDEX_BY_DIM={7: 0}))
    monkeypatch.setattr(fid_score, "compute_statistics_of_path", lambda *a: (expected.mu, expected.sigma))
    fid_score.save_fid_stats([str(tmp_path / "images"), str(tmp_path / "theirs.npz")], 1, "cpu", 7)
    loaded = load_statistics(tmp_path / "theirs.npz")
    np.testing.assert_array_equal(loaded.mu, expected.mu)
    np.testing.assert_array_equal(loaded.sigma, expected.sigma)
    assert loaded.count is None and set(asdict(loaded.origin).values()) == {"unknown"}
    assert frechet_distance(loaded, expected) == pytest.approx(0, abs=1e-9)
    # Saved again it stays unknown, rather than taking on an origin.
    save_statistics(tmp_path / "again.npz", loaded)
    assert load_statistics(tmp_path / "again.npz").origin == loaded.origin
    assert load_statistics(tmp_path / "again.npz").count is None


def test_damaged_or_misshapen_files_are_named(tmp_path):
    path = tmp_path / "reference.npz"
    save_statistics(path, statistics_of(features_with_a_large_mean()))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(PipelineError, match="reference.npz"):
        load_statistics(path)
    np.savez(path, mu=np.zeros(3), sigma=np.zeros((2, 2)), count=np.int64(5))
    with pytest.raises(PipelineError, match="reference.npz does not hold"):
        load_statistics(path)
