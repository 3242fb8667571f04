"""The softmax of attention."""

from __future__ import annotations

import torch
from torch import Tensor

from workflow_scripts.curvature.second_order.rule import inner


class Softmax:
    """y = softmax(x) over `dim`: with u = x' - sum(y x'), y' = y u, and the second derivative is y' u - y sum(y' u)."""

    def __init__(self, y: Tensor, adjoint: Tensor, dim: int):
        self._y, self._dim = y.detach(), dim
        # < a, y' u - y sum(y' u) > = < a - sum(a y), y' u >
        self._centred_adjoint = adjoint - (adjoint * self._y).sum(dim, keepdim=True)

    def __call__(self, tangents: list[Tensor | None]) -> tuple[list[Tensor | None], Tensor | None]:
        (dx,) = tangents
        if dx is None:
            return [None], None
        moved = self._y * dx
        u = dx - moved.sum(self._dim, keepdim=True)
        torch.mul(self._y, u, out=moved)
        return [moved], inner(self._centred_adjoint, u.mul_(moved))
