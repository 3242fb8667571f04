from __future__ import annotations

import pytest
import torch
from torch import nn

from workflow_scripts.nets.ema import ExponentialMovingAverage
from workflow_scripts.nets.flat_weights import FlatWeights


def test_average_is_the_closed_form():
    model = nn.Linear(3, 2).double()
    ema = ExponentialMovingAverage(FlatWeights(model), 0.9)
    values = [model.weight.detach().clone()]
    for step in range(20):
        with torch.no_grad():
            model.weight.copy_(torch.full((2, 3), float(step**2)))
        values.append(model.weight.detach().clone())
        ema.update()
    expected = 0.9**20 * values[0] + sum(0.1 * 0.9 ** (20 - k) * values[k] for k in range(1, 21))
    torch.testing.assert_close(ema.model.weight, expected, atol=1e-12, rtol=1e-12)


def test_the_model_is_left_alone_and_the_average_has_no_gradient():
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    ema = ExponentialMovingAverage(FlatWeights(model), 0.5)
    with torch.no_grad():
        ema.model.weight.zero_()
    ema.update()
    assert torch.equal(model.weight, before) and model.weight.requires_grad
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())
    assert list(ema.model.state_dict()) == list(model.state_dict())


def test_buffers_are_copied():
    model = nn.BatchNorm1d(2)
    ema = ExponentialMovingAverage(FlatWeights(model), 0.99)
    model(torch.randn(8, 2))
    ema.update()
    assert torch.equal(ema.model.running_mean, model.running_mean) and ema.model.num_batches_tracked == 1


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_an_impossible_decay_is_refused(decay):
    with pytest.raises(ValueError, match="ema_decay"):
        ExponentialMovingAverage(FlatWeights(nn.Linear(1, 1)), decay)
