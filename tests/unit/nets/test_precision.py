from __future__ import annotations

import pytest
import torch
from torch import nn

from workflow_scripts.nets.frozen import frozen
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


def _network() -> nn.Module:
    torch.manual_seed(0)
    network = build_model(SETTINGS, 1, 8)
    for parameter in network.parameters():  # a U-Net's output is zero before training
        nn.init.normal_(parameter, std=0.1)
    return network


def _inputs() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(4)


def test_fp32_and_contiguous_change_no_byte():
    network, inputs = _network(), _inputs()
    expected = network(*inputs).detach().numpy().tobytes()
    placed = place(network, CPU, "contiguous")
    assert in_precision(placed, "fp32", "contiguous")(*inputs).detach().numpy().tobytes() == expected


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_convolutions_compute_as_set_and_everything_else_stays_float32(precision, memory_format):
    inputs = _inputs()
    expected = _network()(*inputs)
    expected.square().mean().backward()
    network = place(_network(), CPU, memory_format)
    seen = []
    network.down_blocks[0][0].residual.conv1.register_forward_hook(
        lambda layer, arguments, output: seen.append(output)
    )
    output = in_precision(network, precision, memory_format)(*inputs)
    output.square().mean().backward()

    (convolved,) = seen
    assert convolved.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    assert convolved.is_contiguous(memory_format=torch.channels_last) == (memory_format == "channels_last")
    assert convolved.is_contiguous() == (memory_format == "contiguous")
    assert output.dtype == torch.float32
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in network.parameters()} == {torch.float32}
    # bfloat16 keeps 8 bits, so single products are off by up to 0.4 %; float32 in another order by its last bits
    error = (output - expected).norm() / expected.norm()
    assert (1e-4 < error < 3e-2) if precision == "bf16" else error < 1e-5


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_a_frozen_network_computes_the_same_bytes_from_weights_that_were_cast_once(precision, memory_format):
    inputs = _inputs()
    with torch.no_grad():
        expected = in_precision(place(_network(), CPU, memory_format), precision, memory_format)(*inputs)
        network = _network()
        made = frozen(network, CPU, precision, memory_format)(*inputs)
    assert made.numpy().tobytes() == expected.numpy().tobytes()
    dtypes = {
        type(layer): layer.weight.dtype
        for layer in network.modules()
        if getattr(layer, "weight", None) is not None
    }
    of_products = torch.bfloat16 if precision == "bf16" else torch.float32
    assert dtypes.pop(nn.Conv2d) == dtypes.pop(PointwiseConv) == dtypes.pop(nn.Linear) == of_products
    assert set(dtypes.values()) == {torch.float32}


def test_one_timestep_for_all_images_is_each_ones():
    network, (x, _) = _network().double(), _inputs()
    x = x.double()
    # float64 throughout: only the order of additions differs
    torch.testing.assert_close(
        network(x, torch.tensor([7])), network(x, torch.full((4,), 7)), atol=1e-12, rtol=1e-12
    )
