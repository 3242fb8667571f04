from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.metrics import kernel_distance as module
from workflow_scripts.metrics.kernel_distance import kernel_distance, kernel_distance_name


def features(count, dim, seed, shift=0.0):
    return (np.random.default_rng(seed).normal(size=(count, dim)) + shift).astype(np.float32)


@pytest.mark.parametrize(("num_generated", "num_reference", "dim"), [(1200, 1500, 16), (150, 300, 64), (40, 40, 2048)])
def test_equals_torch_fidelity_on_the_same_subsets(num_generated, num_reference, dim):
    generated, reference = features(num_generated, dim, 0, 0.2), features(num_reference, dim, 1)
    value, spread = kernel_distance(generated, reference)
    size = min(1000, num_generated, num_reference)
    sides = [torch.from_numpy(side).double() for side in (generated, reference)]
    theirs = kid_features_to_metric(*sides, kid_subset_size=size, verbose=False)
    # The same sums in another order, in float64; the distance is what is left of sums of kernels near 1.
    assert value == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-8, abs=1e-13)
    assert spread == pytest.approx(theirs[KEY_METRIC_KID_STD], rel=1e-8, abs=1e-13)


def test_the_number_of_rows_at_once_does_not_matter(monkeypatch):
    generated, reference = features(230, 8, 0, 0.2), features(300, 8, 1)
    whole = kernel_distance(generated, reference)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    assert kernel_distance(generated, reference) == pytest.approx(whole, rel=1e-10)


def test_all_of_two_small_sets_by_hand():
    # D = 1, x in {0, 1}, y in {2, 3}: k(x, x') = 1; k(y, y') = 7^3; k(x, y) in {1, 1, 27, 64}. With all vectors in every
    # subset there is no spread: 1 + 343 - 2 * (1 + 1 + 27 + 64) / 4.
    value, spread = kernel_distance(np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]]))
    assert value == pytest.approx(344 - 93 / 2, rel=1e-12)
    assert spread == pytest.approx(0, abs=1e-12)


def test_it_is_unbiased_where_nothing_differs():
    # Mean of 60 independent estimates; their own spread gives the standard error of that mean.
    values = [kernel_distance(features(30, 4, 2 * n), features(30, 4, 2 * n + 1))[0] for n in range(60)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(60)


def test_only_inceptions_is_called_kid():
    assert kernel_distance_name("fid") == "kid"
    assert kernel_distance_name("fd_digits") == "kd_digits"


def test_sets_that_cannot_be_compared_are_refused():
    with pytest.raises(PipelineError, match="of 3 and 4 dimensions"):
        kernel_distance(features(9, 3, 0), features(9, 4, 0))
    with pytest.raises(PipelineError, match="needs 2 feature vectors on each side, got 1"):
        kernel_distance(features(1, 3, 0), features(9, 3, 0))
