"""The compiled network computes what the network does; compiled here for the CPU, since the compiler is the same."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn

from workflow_scripts.nets import compiled as compiled_module
from workflow_scripts.nets.compiled import can_compile
from workflow_scripts.nets.frozen import frozen
from workflow_scripts.nets.registry import build_model

CPU = torch.device("cpu")
MODEL = {
    "name": "unet_digits8",
    "base_channels": 8,
    "channel_mults": [1, 2],
    "num_res_blocks": 1,
    "attention_resolutions": [4],
    "dropout": 0.1,
    "norm_groups": 4,
}


def _network() -> nn.Module:
    torch.manual_seed(0)
    network = build_model(MODEL, 1, 8).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler needs g++ on a CPU")
def test_a_compiled_network_computes_what_the_network_does():
    inputs = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([7])
    with torch.inference_mode():
        exact = _network()(*inputs)
        network = frozen(_network(), CPU, "fp32", "channels_last", fuse=True)
        outputs = network(*inputs)
        assert torch.equal(network(*inputs), outputs)
    assert outputs.dtype == torch.float32
    assert (outputs - exact).norm() / exact.norm() < 1e-5  # float32 in another order of additions


def test_what_compiling_needs(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setattr(compiled_module, "find_spec", lambda name: name == "triton" or None)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not can_compile(gpu)
    monkeypatch.setenv("CC", "my-compiler")
    assert can_compile(gpu) and not can_compile(CPU)
    monkeypatch.delenv("CC")
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/gcc" if name == "gcc" else None)
    assert can_compile(gpu)
    monkeypatch.setattr(compiled_module, "find_spec", lambda name: None)
    assert not can_compile(gpu)
