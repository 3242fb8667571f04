"""Computing in float32 or bfloat16, and a trained network prepared for sampling.

A GPU spends most of a forward pass moving activations through norms, activations, casts and biases, which
torch.compile fuses; docs/gpu.md has the times. Compiling takes 12 to 14 s, less when torch's cache holds the
result.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn

Network = Callable[..., Tensor]
COMPILERS = ("cc", "gcc", "clang")


def in_precision(network: Network, precision: str) -> Network:
    """Wrap `network`, (x [B, …], …) -> tensor, to compute in `fp32` or `bf16`.

    `bf16` is torch's autocast: matrix products and convolutions in bfloat16, casting float32 weights in every
    call. The output is float32 either way, and so are losses, optimizer, EMA and the sampler's arithmetic.
    """
    if precision == "fp32":
        return network

    def call(x: Tensor, *others: Tensor) -> Tensor:
        # Without the cache: each weight is used once per pass, and a captured step must not keep casts made
        # outside it.
        with torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False):
            return network(x, *others).float()

    return call


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
