from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.metrics.inception_score import inception_score


@pytest.mark.parametrize(("count", "scale"), [(500, 3.0), (10, 1.0), (123, 40.0)])
def test_equals_torch_fidelity(count, scale):
    logits = (np.random.default_rng(0).normal(size=(count, 1008)) * scale).astype(np.float32)
    value, spread = inception_score(logits)
    theirs = isc_features_to_metric(torch.from_numpy(logits))
    # The same formula in float64.
    assert value == pytest.approx(theirs[KEY_METRIC_ISC_MEAN], rel=1e-10)
    assert spread == pytest.approx(theirs[KEY_METRIC_ISC_STD], rel=1e-7, abs=1e-12)


def test_unsure_predictions_score_one():
    assert inception_score(np.zeros((40, 8), dtype=np.float32)) == pytest.approx((1.0, 0.0), abs=1e-12)


def test_sure_and_different_predictions_score_as_many_as_there_are_classes():
    # Large splits hold the four classes almost equally; equal shares would give exactly 4.
    logits = np.tile(np.eye(4, dtype=np.float32) * 200, (1000, 1))
    value, _ = inception_score(logits)
    assert value == pytest.approx(4.0, rel=0.01) and value <= 4.0


def test_too_few_images_for_the_splits():
    with pytest.raises(PipelineError, match="at least 10 images, got 9"):
        inception_score(np.zeros((9, 8), dtype=np.float32))
