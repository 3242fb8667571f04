from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.metrics import precision_recall as module
from workflow_scripts.metrics.precision_recall import neighbour_radii, precision_and_recall


def features(count, dim, seed, scale=1.0):
    return (np.random.default_rng(seed).normal(size=(count, dim)) * scale).astype(np.float32)


@pytest.mark.parametrize(
    ("num_generated", "num_reference", "dim", "scale"), [(700, 900, 8, 0.8), (60, 40, 64, 1.1)]
)
def test_equals_torch_fidelity(num_generated, num_reference, dim, scale):
    generated, reference = features(num_generated, dim, 0, scale), features(num_reference, dim, 1)
    precision, recall = precision_and_recall(generated, reference, neighbour_radii(reference))
    theirs = prc_features_to_metric(torch.from_numpy(generated), torch.from_numpy(reference), verbose=False)
    # The same counts of images; theirs are divided in float32.
    assert round(precision * num_generated) == round(theirs[KEY_METRIC_PRECISION] * num_generated)
    assert round(recall * num_reference) == round(theirs[KEY_METRIC_RECALL] * num_reference)
    assert precision == pytest.approx(theirs[KEY_METRIC_PRECISION], rel=1e-6)
    assert 0 < recall < 1 and 0 < precision < 1


def test_the_number_of_rows_at_once_does_not_matter(monkeypatch):
    generated, reference = features(130, 6, 0, 0.8), features(170, 6, 1)
    whole = precision_and_recall(generated, reference, neighbour_radii(reference))
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 9)
    assert precision_and_recall(generated, reference, neighbour_radii(reference)) == whole


def test_radii_are_squared_distances_to_the_third_other_vector():
    line = np.array([[0.0], [1.0], [3.0], [6.0], [10.0]])
    np.testing.assert_allclose(neighbour_radii(line), [36, 25, 9, 25, 81], rtol=1e-12)


def test_one_mode_of_two_is_precise_and_covers_half():
    # Two clusters 100 apart; everything generated lies in the first.
    cluster = features(200, 3, 0)
    reference = np.concatenate([cluster, features(200, 3, 1) + 100])
    precision, recall = precision_and_recall(cluster + 1e-3, reference, neighbour_radii(reference))
    assert precision == 1.0
    assert recall == pytest.approx(
        0.5, abs=0.02
    )  # a few outliers of the first cluster stay outside every ball


def test_images_far_from_the_data_are_neither():
    reference = features(50, 3, 1)
    assert precision_and_recall(features(50, 3, 0) + 100, reference, neighbour_radii(reference)) == (0.0, 0.0)


def test_too_few_vectors_for_three_neighbours():
    with pytest.raises(PipelineError, match="need 4 images on each side, got 3"):
        neighbour_radii(features(3, 2, 0))
