"""A network that is trained no more, as one draws with it: cast once, compiled for a GPU, with other convolutions for a CPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from workflow_scripts.nets.compiled import compiled
from workflow_scripts.nets.precision import in_precision, place, product_layers
from workflow_scripts.nets.winograd import with_winograd


def frozen(
    network: nn.Module,
    device: torch.device,
    precision: str,
    memory_format: str,
    fuse: bool = False,
    winograd: bool = False,
) -> Callable[[Tensor, Tensor], Tensor]:
    """A network that is trained no more, placed on `device` and as a callable like that of `in_precision`; changes `network`.

    In bf16 the weights of products and convolutions are cast here once, to the bytes that autocast gives them in every call.
    `fuse` compiles it where the first call runs (nets/compiled.py); `winograd` is for a CPU (nets/winograd.py).
    """
    network = place(network, device, memory_format)
    if winograd:
        network = with_winograd(network)
    if precision == "bf16":
        for layer in product_layers(network):
            layer.to(torch.bfloat16)
    return in_precision(compiled(network, memory_format) if fuse else network, precision, memory_format)
