from __future__ import annotations

import numpy as np
import pytest

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.metrics.finite_sample import NUM_DISTANCES, finite_sample
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.statistics import statistics_of


def features(count, seed, shift=0.0):
    return np.random.default_rng(seed).normal(size=(count, 4)) + shift


REFERENCE = statistics_of(features(20_000, 99))


def test_the_value_is_the_distance_and_the_parts_are_disjoint():
    vectors = features(83, 0)
    done = []
    found = finite_sample(vectors, REFERENCE, done.append)
    assert found["num_samples"] == 83
    assert found["value"] == frechet_distance(statistics_of(vectors), REFERENCE)
    halves = [frechet_distance(statistics_of(part), REFERENCE) for part in (vectors[:41], vectors[41:82])]
    points = found["by_num_samples"]
    assert [point["num_samples"] for point in points] == [10, 20, 41, 83]
    assert points[2]["value"] == pytest.approx(np.mean(halves), rel=1e-12)
    assert points[3]["value"] == found["value"]
    assert done == list(range(1, NUM_DISTANCES + 1))
    assert found == finite_sample(vectors, REFERENCE)


def test_fewer_samples_lie_higher_where_nothing_differs():
    # The bias is proportional to 1 / N (Chong and Forsyth 2020, eq. 4): eighths of 4,000 lie about 8 times
    # higher.
    values = [point["value"] for point in finite_sample(features(4000, 1), REFERENCE)["by_num_samples"]]
    assert values == sorted(values, reverse=True)
    assert 4 < values[0] / values[3] < 16


def test_the_bootstrap_error_is_the_spread_of_new_sets_of_samples():
    # With a shift of 1 in four dimensions the distance is near |mean|^2, of variance near 4 * 4 / N.
    count = 400
    again = [
        frechet_distance(statistics_of(features(count, 1000 + n, shift=1.0)), REFERENCE) for n in range(200)
    ]
    found = [finite_sample(features(count, n, shift=1.0), REFERENCE) for n in range(40)]
    # 200 sets give the spread to 5 %, the mean of 40 bootstraps is known better.
    assert np.mean([item["stderr"] for item in found]) == pytest.approx(np.std(again), rel=0.15)
    # 95 % of 40 intervals are 38; 34 or fewer would have a probability of 5 %.
    assert sum(item["interval"][0] < np.mean(again) < item["interval"][1] for item in found) >= 34


def test_too_few_vectors_for_eighths():
    with pytest.raises(PipelineError, match="needs 2 feature vectors, got 1"):
        finite_sample(features(15, 0), REFERENCE)


def test_resamples_of_two_arms_give_the_spread_of_their_ratio():
    # Two arms whose equal sample numbers are alike, as equal noise makes them: most of their errors cancel.
    count = 300

    def arms(seed):
        common = features(count, seed, shift=0.7)
        return common, 1.1 * common + 0.3 * features(count, seed + 10_000)

    def log_ratio(first, second):
        distances = [frechet_distance(statistics_of(vectors), REFERENCE) for vectors in (first, second)]
        return np.log(distances[0] / distances[1])

    again = np.std([log_ratio(*arms(5000 + n)) for n in range(200)], ddof=1)
    resamples = [[finite_sample(arm, REFERENCE)["resamples"] for arm in arms(n)] for n in range(30)]
    paired, alone = [], []
    for first, second in np.log(resamples):
        paired.append(np.var(first - second, ddof=1))
        alone.append(np.var(first, ddof=1) + np.var(second, ddof=1))
    # 200 pairs give the spread to 5 %, the mean of 30 bootstraps is known better.
    assert np.sqrt(np.mean(paired)) == pytest.approx(again, rel=0.15)
    assert np.sqrt(np.mean(alone)) > 2 * again
