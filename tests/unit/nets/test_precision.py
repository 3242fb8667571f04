"""Precision, and a network prepared for sampling; compiled here for the CPU, whose compiler is the same."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn

from tests.tiny_run import tiny_network
from workflow_scripts.nets import precision as precision_module
from workflow_scripts.nets.layers import PointwiseConv
from workflow_scripts.nets.precision import can_compile, frozen, in_precision

CPU = torch.device("cpu")
INPUTS = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_convolutions_compute_as_set_and_everything_else_stays_float32(precision):
    expected, network, seen = tiny_network()(*INPUTS), tiny_network(), []
    network.down_blocks[0][0].residual.conv1.register_forward_hook(
        lambda layer, arguments, output: seen.append(output.dtype)
    )
    output = in_precision(network, precision)(*INPUTS)
    output.square().mean().backward()
    assert seen == [torch.bfloat16 if precision == "bf16" else torch.float32]
    assert output.dtype == torch.float32
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in network.parameters()} == {torch.float32}
    # bfloat16 keeps 8 bits, so single products are off by up to 0.4 %
    error = (output - expected).norm() / expected.norm()
    assert (1e-4 < error < 3e-2) if precision == "bf16" else error == 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_frozen_network_computes_the_same_bytes_from_weights_that_were_cast_once(precision):
    network = tiny_network()
    with torch.no_grad():
        expected = in_precision(tiny_network(), precision)(*INPUTS)
        made = frozen(network, CPU, precision)(*INPUTS)
    assert made.numpy().tobytes() == expected.numpy().tobytes()
    dtypes = {
        type(layer): layer.weight.dtype
        for layer in network.modules()
        if getattr(layer, "weight", None) is not None
    }
    of_products = torch.bfloat16 if precision == "bf16" else torch.float32
    assert dtypes.pop(nn.Conv2d) == dtypes.pop(PointwiseConv) == dtypes.pop(nn.Linear) == of_products
    assert set(dtypes.values()) == {torch.float32}


class _OneKernel(nn.Module):
    """As little as the compiler can be given, since it takes most of its time per kernel."""

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x * 0.3) + torch.cos(t[:, None, None, None].float())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler needs g++ on a CPU")
def test_a_compiled_network_computes_the_same():
    with torch.inference_mode():
        compiled = frozen(_OneKernel(), CPU, "fp32", fuse=True)
        outputs = compiled(*INPUTS)
        assert torch.equal(compiled(*INPUTS), outputs)
        torch.testing.assert_close(outputs, _OneKernel()(*INPUTS), rtol=1e-5, atol=1e-6)


def test_compiling_needs_a_gpu_triton_and_a_c_compiler(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setattr(precision_module, "find_spec", lambda name: name == "triton" or None)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not can_compile(gpu)
    monkeypatch.setenv("CC", "my-compiler")
    assert can_compile(gpu) and not can_compile(CPU)
    monkeypatch.delenv("CC")
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/gcc" if name == "gcc" else None)
    assert can_compile(gpu)
    monkeypatch.setattr(precision_module, "find_spec", lambda name: None)
    assert not can_compile(gpu)
