"""From the same images to the same numbers: our features and metrics against torch_fidelity.calculate_metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset
from torch_fidelity import calculate_metrics

from tests.random_inception import write_random_inception
from workflow_scripts.metrics.extractors import load_extractor
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.inception_score import inception_score
from workflow_scripts.metrics.kernel_distance import kernel_distance
from workflow_scripts.metrics.precision_recall import neighbour_radii, precision_and_recall
from workflow_scripts.metrics.statistics import statistics_of

COUNT = 12
SETTINGS = {"name": "fid", "kind": "inception", "feature_dim": 2048}


class Images(Dataset):
    def __init__(self, images):
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Sharp class predictions, for an Inception Score well above 1."""
    return write_random_inception(tmp_path_factory.mktemp("inception") / "weights.pth", sharpness=30)


@pytest.fixture(scope="module")
def images():
    """Generated: coarse blocks. Real: half coarse blocks, half bright pixel noise. Far: bright pixel noise."""
    generator = np.random.default_rng(0)
    blocks = np.kron(generator.integers(0, 256, (COUNT + COUNT // 2, 4, 4, 3)), np.ones((1, 8, 8, 1)))
    far = generator.integers(192, 256, (COUNT, 32, 32, 3))
    return [
        side.astype(np.uint8)
        for side in (blocks[:COUNT], np.concatenate([blocks[COUNT:], far[COUNT // 2 :]]), far)
    ]


def calculate(weights, first, second, **metrics):
    return calculate_metrics(
        input1=Images(first),
        input2=Images(second),
        feature_extractor="inception-v3-compat",
        cuda=False,
        cache=False,
        feature_extractor_weights_path=str(weights),
        batch_size=COUNT,
        verbose=False,
        save_cpu_ram=True,
        **metrics,
    )


@pytest.fixture(scope="module")
def theirs(weights, images):
    return calculate(weights, images[0], images[1], isc=True, kid=True, prc=True, kid_subset_size=COUNT - 2)


@pytest.fixture(scope="module")
def ours(weights, images):
    """(features, logits) of the generated, the real and the far images."""
    extractor = load_extractor(SETTINGS, weights)
    return [extractor.features_and_logits(side) for side in images]


def test_the_random_network_tells_images_apart(ours):
    # Otherwise every metric would agree for want of anything to measure.
    (generated, logits), (real, _), _ = ours
    assert generated.std(axis=0).mean() > 0.01 * np.abs(generated).max()
    assert inception_score(logits)[0] > 1.001  # splits of one or two images leave little to score
    assert 0 < sum(precision_and_recall(generated, real, neighbour_radii(real))) < 2


def test_fid(weights, images, ours):
    # With so few images 2,000 of the eigenvalues are zero, and their rounding adds 1e-6 of the trace to torch-fidelity's
    # number (not to ours). Far images, whose distance exceeds the trace, leave room for that; test_frechet has the rest.
    theirs = calculate(weights, images[0], images[2], fid=True)["frechet_inception_distance"]
    generated, far = (statistics_of(ours[number][0]) for number in (0, 2))
    assert frechet_distance(generated, far) == pytest.approx(theirs, rel=1e-6)


def test_kid(ours, theirs, monkeypatch):
    monkeypatch.setattr("workflow_scripts.metrics.kernel_distance.MAX_SUBSET_SIZE", COUNT - 2)
    value, spread, _ = kernel_distance(ours[0][0], ours[1][0])
    # They sum kernels near 1 in float32 to a distance that is far smaller; both sides in float64 agree to 1e-9.
    assert value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert spread == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3)


def test_inception_score(ours, theirs):
    value, spread = inception_score(ours[0][1])
    # All that differs is rounding in the logits, 1e-6 of the largest; a score of 1 says nothing, so that much is taken off.
    assert value - 1 == pytest.approx(theirs["inception_score_mean"] - 1, rel=1e-4)
    assert spread == pytest.approx(theirs["inception_score_std"], rel=1e-4)


def test_precision_and_recall(ours, theirs):
    generated, real, _ = (features for features, _ in ours)
    precision, recall = precision_and_recall(generated, real, neighbour_radii(real))
    # Shares of COUNT images: equal, or a whole image apart. Theirs are means in float32.
    assert precision == pytest.approx(theirs["precision"], rel=1e-6)
    assert recall == pytest.approx(theirs["recall"], rel=1e-6)
