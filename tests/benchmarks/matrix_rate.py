"""How fast this device multiplies large matrices: what no network made of matrix products and convolutions exceeds."""

from __future__ import annotations

from collections.abc import Callable

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def matrix_product(precision: str, device: torch.device) -> tuple[Callable[[], object], float]:
    """A product of two square matrices of `precision` (fp32, bf16), to be timed, and its floating-point operations.

    A multiply-add counts two. The result has its memory already, which malloc would otherwise ask the kernel for.
    """
    side = 2048 if device.type == "cpu" else 8192
    first, second = torch.randn(2, side, side, device=device).to(DTYPES[precision])
    product = torch.empty_like(first)
    return lambda: torch.mm(first, second, out=product), 2 * side**3
