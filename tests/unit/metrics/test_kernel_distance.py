from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.metrics import kernel_distance as module
from workflow_scripts.metrics.kernel_distance import kernel_distance, kernel_distance_name


def features(count, dim, seed, shift=0.0):
    return (np.random.default_rng(seed).normal(size=(count, dim)) + shift).astype(np.float32)


@pytest.mark.parametrize(
    ("num_generated", "num_reference", "dim"), [(1200, 1500, 16), (150, 300, 64), (40, 40, 2048)]
)
def test_equals_torch_fidelity_on_the_same_subsets(num_generated, num_reference, dim):
    generated, reference = features(num_generated, dim, 0, 0.2), features(num_reference, dim, 1)
    value, spread, _ = kernel_distance(generated, reference)
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
    again = kernel_distance(generated, reference)
    assert again[:2] == pytest.approx(whole[:2], rel=1e-10)
    assert again.interval == pytest.approx(whole.interval, rel=1e-10)


def test_all_of_two_small_sets_by_hand():
    # D = 1, x in {0, 0, 1}, y in {0, 2, 3}: k(x, x') = 1; k(y, y') in {1, 1, 7^3}; k(x, y) = 1, but 27 and 64 for x = 1.
    # With all vectors in every subset there is no spread.
    value, spread, interval = kernel_distance(
        np.array([[0.0], [0.0], [1.0]]), np.array([[0.0], [2.0], [3.0]])
    )
    assert value == pytest.approx(1 + 345 / 3 - 2 * (7 + 27 + 64) / 9, rel=1e-12)
    assert spread == pytest.approx(0, abs=1e-12)
    # Without one x of 0 the distance is 1 + 115 - 2 * (4 + 27 + 64) / 6 = 116 - 95 / 3, without the 1 it is 116 - 2: their
    # squared deviations, times 2 / 3, are the jackknife's variance.
    without = np.array([116 - 95 / 3, 116 - 95 / 3, 114])
    half = 1.959964 * np.sqrt(2 / 3 * ((without - without.mean()) ** 2).sum())
    assert interval == pytest.approx((value - half, value + half), rel=1e-12)


def distance_of_all(generated, reference):
    """The unbiased squared MMD over all pairs, one by one."""

    def mean_kernel(pairs):
        return np.mean([(float(one @ other) / len(one) + 1) ** 3 for one, other in pairs])

    within = [mean_kernel(itertools.permutations(side, 2)) for side in (generated, reference)]
    return sum(within) - 2 * mean_kernel(itertools.product(generated, reference))


def test_the_interval_is_a_jackknife_that_leaves_out_every_image_once():
    generated, reference = features(13, 5, 0, 0.4).astype(float), features(17, 5, 1).astype(float)
    left_out = [distance_of_all(np.delete(generated, number, axis=0), reference) for number in range(13)]
    jackknife = 12 / 13 * ((left_out - np.mean(left_out)) ** 2).sum()
    value, spread, (low, high) = kernel_distance(generated, reference)
    # All 13 are in every subset, the reference's 13 of 17 change: their part is the variance of a mean of 100.
    assert spread > 0 and (low + high) / 2 == pytest.approx(value, rel=1e-12)
    # Sums of a few hundred kernels near 1, in float64.
    assert ((high - low) / 2 / 1.959964) ** 2 == pytest.approx(jackknife + spread**2 / 99, rel=1e-10)


def true_distance(mean, sd, reference):
    """The squared MMD between a normal distribution N(mean, sd^2) [D] and reference vectors [M, D], in closed form.

    From E (a + b Z)^3 = a^3 + 3 a b^2 for a standard normal Z: given y, x.y / D + 1 is normal; given x', so is x.x' / D + 1,
    of which the expectation is then taken over x'.
    """
    dim, square = len(mean), mean @ mean
    means, variances = 1 + reference @ mean / dim, sd**2 * (reference**2).sum(axis=1) / dim**2
    between = (means**3 + 3 * means * variances).mean()
    top = 1 + square / dim
    within = top**3 + 3 * top * sd**2 * square / dim**2
    within += 3 * sd**2 / dim**2 * (top * (square + dim * sd**2) + 2 * sd**2 * square / dim)
    kernel = (reference @ reference.T / dim + 1) ** 3
    count = len(reference)
    return within - 2 * between + (kernel.sum() - np.trace(kernel)) / (count * (count - 1))


def test_the_true_distance_is_that_of_very_many_images():
    mean, reference = np.array([0.5, 0.0, -0.3]), features(50, 3, 0).astype(float)
    generated = np.random.default_rng(1).normal(size=(4000, 3)) * 1.3 + mean
    found = kernel_distance(generated, reference)
    assert found.value == pytest.approx(true_distance(mean, 1.3, reference), abs=0.1)


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (
            0.5,
            (0.92, 0.98),
        ),  # 400 trials know a share of 95 % to 1.1 %, so that these are about three deviations
        (0.2, (0.92, 0.98)),
        (0.0, (0.95, 1.0)),  # where nothing differs the jackknife errs to the large side
    ],
)
def test_the_interval_covers_the_true_distance(monkeypatch, shift, expected):
    monkeypatch.setattr(module, "MAX_SUBSET_SIZE", 60)
    reference, mean = features(120, 16, 0).astype(float), np.full(16, shift)
    truth = true_distance(mean, 1.0, reference)
    drawn = (np.random.default_rng((1, number)).normal(size=(120, 16)) + mean for number in range(400))
    intervals = [kernel_distance(generated, reference).interval for generated in drawn]
    low, high = expected
    assert low <= np.mean([interval[0] <= truth <= interval[1] for interval in intervals]) <= high


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
    with pytest.raises(PipelineError, match="needs 3 feature vectors on each side, got 2"):
        kernel_distance(features(2, 3, 0), features(9, 3, 0))
