"""Convolutions and matrix products, which are linear in each of their two arguments."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from workflow_scripts.curvature.second_order.rule import inner

TINY = 1e-20  # beside products of norms, which are zero where one of the terms is; the others then need no balance


class Bilinear:
    """f(x, w) + b with f linear in x and in w: y' = f(x', w) + f(x, w') + b', and the second derivative is 2 f(x', w').

    What it is called with is [x', w'] or [x', w', b'].
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor, adjoint: Tensor):
        self._function, self._x, self._w, self._twice_adjoint = function, x.detach(), w.detach(), 2 * adjoint

    def __call__(self, tangents: list[Tensor | None]) -> tuple[list[Tensor | None], Tensor | None]:
        dx, dw, db = (*tangents, None)[:3]
        if dx is not None and dw is not None:
            moved, second = self._both(dx, dw, db)
            return [moved], second
        moved = None
        if dx is not None:
            moved = self._function(dx, self._w)
        elif dw is not None:
            moved = self._function(self._x, dw)
        return [self._biased(moved, db)], None

    def _both(self, dx: Tensor, dw: Tensor, db: Tensor | None) -> tuple[Tensor, Tensor]:
        moved = self._function(dx, self._w).add_(self._function(self._x, dw))
        return self._biased(moved, db), inner(
            self._twice_adjoint, self._function(dx, dw).expand_as(self._twice_adjoint)
        )

    def _biased(self, moved: Tensor | None, db: Tensor | None) -> Tensor | None:
        if db is None:
            return moved
        bias = self._spread(db).expand_as(self._twice_adjoint)
        return bias if moved is None else moved + bias

    def _spread(self, bias: Tensor) -> Tensor:
        return bias


class Convolution(Bilinear):
    """conv2d, from two convolutions instead of three: f(x', w') and, for any e, since f is bilinear,

        f(x / e + x', w + e w') = f(x, w) / e + y' + e f(x', w'),

    in which f(x, w) is known. The e that makes these terms alike in size leaves each of them its digits. It stays on the
    device, so that nothing waits for it there.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        x: Tensor,
        w: Tensor,
        bias: Tensor | None,
        y: Tensor,
        adjoint: Tensor,
    ):
        super().__init__(function, x, w, adjoint)
        self._known = y.detach() if bias is None else y.detach() - self._spread(bias.detach())
        self._size = self._x.norm() * self._w.norm() + TINY

    def _both(self, dx: Tensor, dw: Tensor, db: Tensor | None) -> tuple[Tensor, Tensor]:
        e = (self._size / (dx.norm() * dw.norm() + TINY)).sqrt()
        inverse = e.reciprocal()
        product = self._function(dx, dw)
        moved = self._function(torch.addcmul(dx, self._x, inverse), torch.addcmul(self._w, dw, e), db)
        moved.addcmul_(self._known, inverse, value=-1).addcmul_(product, e, value=-1)
        return moved, inner(self._twice_adjoint, product)

    def _spread(self, bias: Tensor) -> Tensor:
        return bias[:, None, None]
