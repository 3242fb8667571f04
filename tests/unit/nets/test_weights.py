"""Weights in one tensor are the network's weights; the average is the closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.tiny_run import tiny_network
from workflow_scripts.nets.precision import in_precision
from workflow_scripts.nets.weights import ALIGNMENT, ExponentialMovingAverage, FlatWeights


def test_parameters_stay_what_they_are_and_lie_in_one_tensor():
    network, expected = tiny_network(), tiny_network()
    parameters = list(network.parameters())
    weights = FlatWeights(network)
    assert all(a is b for a, b in zip(network.parameters(), parameters, strict=True))
    for parameter, original in zip(parameters, expected.parameters(), strict=True):
        assert torch.equal(parameter, original) and parameter.requires_grad
        assert parameter.untyped_storage().data_ptr() == weights.values.untyped_storage().data_ptr()
        assert parameter.storage_offset() % ALIGNMENT == 0
    size = sum(parameter.numel() for parameter in parameters)
    assert size <= weights.values.numel() < size + ALIGNMENT * len(parameters)
    with torch.no_grad():
        weights.values.mul_(2)
    assert all(torch.equal(a, 2 * b) for a, b in zip(parameters, expected.parameters()))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_gradient_is_that_of_each_parameter_and_zero_between_them(precision):
    network, expected = tiny_network(), tiny_network()
    weights = FlatWeights(network)
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    for scale in (3, 1):  # the second replaces the first
        loss = scale * in_precision(network, precision)(x, torch.arange(4)).square().mean()
        weights.set_gradient(torch.autograd.grad(loss, list(network.parameters())))
    in_precision(expected, precision)(x, torch.arange(4)).square().mean().backward()
    for gradient, parameter in zip(weights.views(weights.values.grad), expected.parameters(), strict=True):
        assert torch.equal(gradient, parameter.grad)
        gradient.zero_()
    assert not weights.values.grad.any()


def test_the_average_is_the_closed_form_and_leaves_the_network_alone():
    network = nn.Linear(3, 2).double()
    ema = ExponentialMovingAverage(FlatWeights(network), 0.9)
    values = [network.weight.detach().clone()]
    for step in range(20):
        with torch.no_grad():
            network.weight.copy_(torch.full((2, 3), float(step**2)))
        values.append(network.weight.detach().clone())
        ema.update()
    expected = 0.9**20 * values[0] + sum(0.1 * 0.9 ** (20 - k) * values[k] for k in range(1, 21))
    torch.testing.assert_close(ema.model.weight, expected, atol=1e-12, rtol=1e-12)
    assert torch.equal(network.weight, values[-1]) and network.weight.requires_grad
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())
    assert list(ema.model.state_dict()) == list(network.state_dict())


def test_buffers_are_copied():
    network = nn.BatchNorm1d(2)
    ema = ExponentialMovingAverage(FlatWeights(network), 0.99)
    network(torch.randn(8, 2))
    ema.update()
    assert torch.equal(ema.model.running_mean, network.running_mean) and ema.model.num_batches_tracked == 1
