"""Weights in one tensor are the network's weights, and a bfloat16 twin computes what torch's autocast does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workflow_scripts.nets.flat_weights import ALIGNMENT, CastWeights, FlatWeights
from workflow_scripts.nets.layers import PointwiseConv
from workflow_scripts.nets.precision import in_precision, place
from workflow_scripts.nets.registry import build_model

CPU = torch.device("cpu")
SETTINGS = {
    "name": "unet_digits8",
    "base_channels": 8,
    "channel_mults": [1, 2],
    "num_res_blocks": 1,
    "attention_resolutions": [4],
    "dropout": 0.0,
    "norm_groups": 4,
}
LAYOUTS = ("contiguous", "channels_last")


def _network(memory_format: str) -> nn.Module:
    torch.manual_seed(0)
    network = build_model(SETTINGS, 1, 8)
    for parameter in network.parameters():  # a U-Net's output is zero before training
        nn.init.normal_(parameter, std=0.1)
    return place(network, CPU, memory_format)


def _loss(network: nn.Module, precision: str, memory_format: str) -> torch.Tensor:
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return in_precision(network, precision, memory_format)(x, torch.arange(4)).square().mean()


@pytest.mark.parametrize("memory_format", LAYOUTS)
def test_parameters_stay_what_they_are_and_lie_in_one_tensor(memory_format):
    network, expected = _network(memory_format), _network(memory_format)
    parameters = list(network.parameters())
    weights = FlatWeights(network)
    assert all(a is b for a, b in zip(network.parameters(), parameters, strict=True))
    for parameter, original in zip(parameters, expected.parameters(), strict=True):
        assert (
            torch.equal(parameter, original)
            and parameter.stride() == original.stride()
            and parameter.requires_grad
        )
        assert parameter.untyped_storage().data_ptr() == weights.values.untyped_storage().data_ptr()
        assert parameter.storage_offset() % ALIGNMENT == 0
    size = sum(parameter.numel() for parameter in parameters)
    assert size <= weights.values.numel() < size + ALIGNMENT * len(parameters)
    with torch.no_grad():
        weights.values.mul_(2)
    assert all(torch.equal(a, 2 * b) for a, b in zip(parameters, expected.parameters()))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("memory_format", LAYOUTS)
def test_the_gradient_is_that_of_each_parameter_and_zero_between_them(precision, memory_format):
    network, expected = _network(memory_format), _network(memory_format)
    weights = FlatWeights(network)
    twin = CastWeights(weights) if precision == "bf16" else None
    for _ in range(2):  # the second replaces the first
        if twin is not None:
            twin.renew()
        computing = network if twin is None else twin.network
        loss = _loss(computing, precision, memory_format)
        weights.set_gradient(torch.autograd.grad(loss, list(computing.parameters())))
    their_loss = _loss(expected, precision, memory_format)
    their_loss.backward()

    assert loss.detach().numpy().tobytes() == their_loss.detach().numpy().tobytes()
    rounded = {
        f"{name}.weight" for name, layer in network.named_modules() if isinstance(layer, PointwiseConv)
    }
    for gradient, (name, parameter) in zip(
        weights.views(weights.values.grad), expected.named_parameters(), strict=True
    ):
        if precision == "bf16" and memory_format == "contiguous" and name in rounded:
            # the shares of the images are bfloat16, with 8 bits: autocast adds them up after its cast, the twin before
            assert (gradient - parameter.grad).norm() < 2**-8 * parameter.grad.norm()
        else:
            assert torch.equal(gradient, parameter.grad), name
    for view in weights.views(weights.values.grad):
        view.zero_()
    assert not weights.values.grad.any()


def test_a_twin_follows_the_weights_when_it_is_told_and_shares_what_is_not_cast():
    network = _network("contiguous")
    weights = FlatWeights(network)
    twin = CastWeights(weights)
    twin.renew()
    before = _loss(twin.network, "bf16", "contiguous").item()
    with torch.no_grad():
        weights.values.mul_(1.5)
    twin.renew()
    after = _loss(twin.network, "bf16", "contiguous").item()
    assert after != before and after == _loss(network, "bf16", "contiguous").item()
    dtypes = {
        type(layer): layer.weight.dtype
        for layer in twin.network.modules()
        if getattr(layer, "weight", None) is not None
    }
    assert dtypes[nn.Conv2d] == dtypes[nn.Linear] == torch.bfloat16
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert twin.network.norm_out.weight is network.norm_out.weight
    assert twin.network.time_embedding.frequencies is network.time_embedding.frequencies


def test_buffers_that_a_twin_changes_are_the_networks():
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    twin = CastWeights(FlatWeights(network))
    twin.renew()
    with torch.autocast("cpu", torch.bfloat16):
        twin.network(torch.randn(4, 2, 5, 5))
    assert network[1].num_batches_tracked == 1 and network[1].running_mean.any()
