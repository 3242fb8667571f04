"""How a network computes: in float32 or bfloat16, with its images channels first or channels last in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

# In the shape [B, C, H, W] either way; what differs is which of its values lie beside each other.
MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def in_precision(
    network: Callable[[Tensor, Tensor], Tensor], precision: str, memory_format: str
) -> Callable[[Tensor, Tensor], Tensor]:
    """`network` as a callable (x [B, C, H, W], t [B]) -> [B, C, H, W] that computes as the settings say.

    `fp32` computes in float32. `bf16` computes matrix products and convolutions in bfloat16 (torch's autocast), casting the
    weights that are float32 in every call, and gives float32 back: losses, optimizer, EMA and the sampler's arithmetic stay
    float32. `memory_format` is that of the images; `place` gives it to the weights.
    """
    layout = MEMORY_FORMATS[memory_format]

    def call(x: Tensor, t: Tensor) -> Tensor:
        # Not cached: each weight is used once per pass, and a captured step must not hold casts made outside it.
        with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            output = network(x.contiguous(memory_format=layout), t)
        return output.float()

    return call


def place(network: nn.Module, device: torch.device, memory_format: str) -> nn.Module:
    """The same network on `device`, the weights of its convolutions laid out for images of `memory_format`."""
    return network.to(device, memory_format=MEMORY_FORMATS[memory_format])


def product_layers(network: nn.Module) -> list[nn.Module]:
    """The layers of `network` that are convolutions or matrix products, whose weights autocast casts in every call."""
    return [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
