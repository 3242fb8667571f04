"""Metrics against torch-fidelity, from features and from images, and the kernel distance's interval."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset
from torch_fidelity import calculate_metrics
from torch_fidelity.metric_prc import prc_features_to_metric

from tests.random_inception import write_random_inception
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.metrics import fidelity
from workflow_scripts.metrics.extractors import load_extractor
from workflow_scripts.metrics.fidelity import inception_score, kernel_distance, precision_and_recall
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.statistics import statistics_of


def features(count, dim, seed, shift=0.0):
    return (np.random.default_rng(seed).normal(size=(count, dim)) + shift).astype(np.float32)


def distance_of_all(generated, reference):
    """The unbiased squared MMD over all pairs, one by one."""

    def mean_kernel(pairs):
        return np.mean([(float(one @ other) / len(one) + 1) ** 3 for one, other in pairs])

    within = [mean_kernel(itertools.permutations(side, 2)) for side in (generated, reference)]
    return sum(within) - 2 * mean_kernel(itertools.product(generated, reference))


@pytest.mark.parametrize("num_reference", [13, 17])
def test_the_interval_is_a_jackknife_that_leaves_out_every_image_once(monkeypatch, num_reference):
    monkeypatch.setattr(fidelity, "ROWS_AT_ONCE", 5)
    generated, reference = features(13, 5, 0, 0.4).astype(float), features(num_reference, 5, 1).astype(float)
    left_out = [distance_of_all(np.delete(generated, number, axis=0), reference) for number in range(13)]
    jackknife = 12 / 13 * ((left_out - np.mean(left_out)) ** 2).sum()
    value, spread, (low, high) = kernel_distance(generated, reference)
    if num_reference == 13:  # all vectors are in every subset
        assert value == pytest.approx(distance_of_all(generated, reference), rel=1e-12)
        assert spread == pytest.approx(0, abs=1e-12)
    else:  # 13 of the 17: their part is the variance of a mean of 100
        assert spread > 0
    assert (low + high) / 2 == pytest.approx(value, rel=1e-12)
    # Sums of a few hundred kernels near 1, in float64.
    assert ((high - low) / 2 / 1.959964) ** 2 == pytest.approx(jackknife + spread**2 / 99, rel=1e-10)


def true_distance(mean, sd, reference):
    """The squared MMD between a normal distribution N(mean, sd^2) [D] and vectors [M, D], in closed form.

    From E (a + b Z)^3 = a^3 + 3 a b^2 for a standard normal Z: given y, x.y / D + 1 is normal; given x', so
    is x.x' / D + 1, of which the expectation is then taken over x'.
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


# 400 trials know a share of 95 % to 1.1 %: these are about three deviations. The jackknife errs to the large
# side where nothing differs.
@pytest.mark.slow
@pytest.mark.parametrize(("shift", "expected"), [(0.5, (0.92, 0.98)), (0.0, (0.95, 1.0))])
def test_the_interval_covers_the_true_distance(monkeypatch, shift, expected):
    monkeypatch.setattr(fidelity, "MAX_SUBSET_SIZE", 60)
    reference, mean = features(120, 16, 0).astype(float), np.full(16, shift)
    truth = true_distance(mean, 1.0, reference)
    drawn = (np.random.default_rng((1, number)).normal(size=(120, 16)) + mean for number in range(400))
    intervals = [kernel_distance(generated, reference)[2] for generated in drawn]
    low, high = expected
    assert low <= np.mean([interval[0] <= truth <= interval[1] for interval in intervals]) <= high


def test_precision_and_recall_are_exact_shares_of_torch_fidelitys_counts(monkeypatch):
    monkeypatch.setattr(fidelity, "ROWS_AT_ONCE", 100)
    generated, reference = features(700, 8, 0) * 0.8, features(900, 8, 1)
    precision, recall = precision_and_recall(generated, reference)
    theirs = prc_features_to_metric(torch.from_numpy(generated), torch.from_numpy(reference), verbose=False)
    assert precision == round(theirs["precision"] * 700) / 700 and 0 < precision < 1
    assert recall == round(theirs["recall"] * 900) / 900 and 0 < recall < 1
    # One of two clusters, 100 apart: precise, and half covered but for a few outliers.
    cluster = features(200, 3, 0)
    precision, recall = precision_and_recall(cluster + 1e-3, np.concatenate([cluster, cluster + 100]))
    assert precision == 1.0 and recall == pytest.approx(0.5, abs=0.02)


def test_coverage_is_the_formula_of_prdc(monkeypatch):
    monkeypatch.setattr(fidelity, "ROWS_AT_ONCE", 100)
    generated, reference = features(400, 8, 0) * 0.8, features(500, 8, 1)
    # prdc.compute_prdc with nearest_k=5: a vector is the first of its own neighbours
    among_real = np.linalg.norm(reference[:, None] - reference[None], axis=2)
    radii = np.sort(among_real, axis=1)[:, 5]
    to_fake = np.linalg.norm(reference[:, None] - generated[None], axis=2)
    found = fidelity.coverage(generated, reference)
    assert found == (to_fake.min(axis=1) < radii).mean() and 0 < found < 1
    # One of two clusters, 100 apart: half is covered, whatever an outlier between them.
    cluster = features(200, 3, 0)
    both, outlier = np.concatenate([cluster, cluster + 100]), np.full((1, 3), 50, dtype=np.float32)
    assert fidelity.coverage(np.concatenate([cluster + 1e-3, outlier]), both) == 0.5


def test_inception_score_of_certain_and_uncertain_predictions():
    assert inception_score(np.zeros((40, 8), dtype=np.float32)) == pytest.approx((1.0, 0.0), abs=1e-12)
    # Large splits hold the four classes almost equally; equal shares would give exactly 4.
    value, _ = inception_score(np.tile(np.eye(4, dtype=np.float32) * 200, (1000, 1)))
    assert value == pytest.approx(4.0, rel=0.01) and value <= 4.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernel_distance(features(2, 3, 0), features(9, 3, 0)), "needs 3 feature vectors.*got 2"),
        (lambda: precision_and_recall(features(9, 2, 0), features(3, 2, 0)), "need 4 images.*got 3"),
        (lambda: inception_score(features(9, 8, 0)), "needs 10 images, got 9"),
        (lambda: fidelity.coverage(features(5, 2, 0), features(9, 2, 0)), "needs 6 images a side, got 5"),
    ],
)
def test_too_few_images_are_refused(call, message):
    with pytest.raises(PipelineError, match=message):
        call()


class Images(TensorDataset):
    """Images [N, H, W, C] as torch-fidelity reads them."""

    def __init__(self, images):
        super().__init__(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous())

    def __getitem__(self, index):
        return super().__getitem__(index)[0]


@pytest.mark.slow
def test_images_lead_to_torch_fidelitys_numbers(tmp_path):
    """Generated: coarse blocks. Real: bright pixel noise, whose distance exceeds the trace (see below)."""
    weights = write_random_inception(tmp_path / "weights.pth", sharpness=30)  # for a score well above 1
    generator = np.random.default_rng(0)
    blocks = np.kron(generator.integers(0, 256, (12, 4, 4, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    noise = generator.integers(192, 256, (12, 32, 32, 3), dtype=np.uint8)
    theirs = calculate_metrics(
        input1=Images(blocks),
        input2=Images(noise),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights),
        cuda=False,
        cache=False,
        batch_size=12,
        verbose=False,
        fid=True,
        isc=True,
        kid=True,
        kid_subset_size=12,
    )
    extractor = load_extractor({"name": "fid", "kind": "inception", "feature_dim": 2048}, weights)
    (generated, logits), (real, _) = map(extractor.features_and_logits, (blocks, noise))
    assert generated.std(axis=0).mean() > 0.01 * np.abs(generated).max()  # it tells images apart
    # With so few images 2,000 eigenvalues are zero, and their rounding adds 1e-6 of the trace to theirs.
    found = frechet_distance(statistics_of(generated), statistics_of(real))
    assert found == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    # They sum kernels in float32.
    value, *_ = kernel_distance(generated, real)
    assert value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    score, spread = inception_score(logits)
    assert score - 1 == pytest.approx(theirs["inception_score_mean"] - 1, rel=1e-4) and score > 1.001
    assert spread == pytest.approx(theirs["inception_score_std"], rel=1e-4)
