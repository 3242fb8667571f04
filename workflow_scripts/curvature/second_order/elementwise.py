"""Functions of one entry at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from workflow_scripts.curvature.second_order.rule import inner


class Elementwise:
    """y = f(x): y' = f'(x) x', and the second derivative is f''(x) x'^2."""

    def __init__(self, function: Callable[[Tensor], Tensor], x: Tensor, adjoint: Tensor):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            (first,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
            (second,) = torch.autograd.grad(first.sum(), x)
        self._first, self._second = first.detach(), second * adjoint

    def __call__(self, tangents: list[Tensor | None]) -> tuple[list[Tensor | None], Tensor | None]:
        (dx,) = tangents
        if dx is None:
            return [None], None
        return [self._first * dx], inner(self._second * dx, dx)
