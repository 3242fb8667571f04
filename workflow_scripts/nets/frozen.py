"""A trained network prepared for sampling: its weights cast once and, on a GPU, compiled.

A GPU spends most of a forward pass moving activations through norms, activations, casts and biases, which
torch.compile fuses; docs/gpu.md has the times. Compiling takes 12 to 14 s, less when torch's cache holds the
result.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

import torch
from torch import nn

from workflow_scripts.nets.precision import Network, in_precision

COMPILERS = ("cc", "gcc", "clang")


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile can work: it needs a GPU, Triton, and a C compiler for Triton's launchers."""
    has_compiler = bool(os.environ.get("CC")) or any(map(shutil.which, COMPILERS))
    return device.type == "cuda" and find_spec("triton") is not None and has_compiler


def frozen(network: nn.Module, device: torch.device, precision: str, fuse: bool = False) -> Network:
    """Move `network` to `device` and wrap it like `in_precision`.

    Changes `network`, which can no longer be trained: bf16 casts the weights of products and convolutions
    once, to the bytes that autocast makes in every call. `fuse` compiles the network, once per input shape,
    at its first call.
    """
    network = network.to(device)
    if precision == "bf16":
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                layer.to(torch.bfloat16)
    if not fuse:
        return in_precision(network, precision)
    # deterministic: the compiler does not time kernels against each other, so one kind of GPU always gives
    # the same bytes
    options = {"deterministic": True, "layout_optimization": False}
    return in_precision(torch.compile(network, dynamic=False, options=options), precision)
