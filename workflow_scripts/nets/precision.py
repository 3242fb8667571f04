"""Computing in float32 or bfloat16."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Network = Callable[[Tensor, Tensor], Tensor]


def in_precision(network: Network, precision: str) -> Network:
    """Wrap `network`, (x [B, C, H, W], t [B]) -> [B, C, H, W], to compute in `fp32` or `bf16`.

    `bf16` is torch's autocast: matrix products and convolutions in bfloat16, casting float32 weights in every
    call. The output is float32 either way, and so are losses, optimizer, EMA and the sampler's arithmetic.
    """
    if precision == "fp32":
        return network

    def call(x: Tensor, t: Tensor) -> Tensor:
        # Without the cache: each weight is used once per pass, and a captured step must not keep casts made
        # outside it.
        with torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False):
            return network(x, t).float()

    return call
