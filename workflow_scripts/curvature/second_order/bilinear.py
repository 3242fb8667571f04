"""Convolutions and matrix products, which are linear in each of their two arguments."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from workflow_scripts.curvature.second_order.rule import inner


class Bilinear:
    """f(x, w) + b with f linear in x and in w: y' = f(x', w) + f(x, w') + b', and the second derivative is 2 f(x', w').

    What it is called with is [x', w'] or [x', w', b'].
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor, adjoint: Tensor):
        self._function, self._x, self._w, self._adjoint = function, x.detach(), w.detach(), adjoint

    def __call__(self, tangents: list[Tensor | None]) -> tuple[list[Tensor | None], Tensor | None]:
        dx, dw, *db = tangents
        moved = second = None
        if dx is not None and dw is not None:
            moved, second = self._both(dx, dw)
        elif dx is not None:
            moved = self._function(dx, self._w)
        elif dw is not None:
            moved = self._function(self._x, dw)
        if db and db[0] is not None:
            bias = self._spread(db[0]).expand_as(self._adjoint)
            moved = bias if moved is None else moved + bias
        return [moved], second

    def _both(self, dx: Tensor, dw: Tensor) -> tuple[Tensor, Tensor]:
        moved = self._function(dx, self._w).add_(self._function(self._x, dw))
        return moved, 2 * inner(self._adjoint, self._function(dx, dw).expand_as(self._adjoint))

    def _spread(self, bias: Tensor) -> Tensor:
        return bias


class Convolution(Bilinear):
    """conv2d, from two convolutions instead of three where its kernel has more than one pixel.

    f(x + e x', w + e w') and f(x - e x', w - e w'): half their difference is e y', and half their sum is
    f(x, w) + e^2 f(x', w'), whatever e is, since f is bilinear. The e that makes these terms alike in size leaves each
    of them its digits. A 1x1 kernel costs too little for the sums to pay.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor, adjoint: Tensor):
        super().__init__(function, x, w, adjoint)
        self._in_two = w.shape[2:].numel() > 1
        if self._in_two:
            self._size = self._x.norm().item() * self._w.norm().item()
            self._value = inner(adjoint, self._function(self._x, self._w))

    def _both(self, dx: Tensor, dw: Tensor) -> tuple[Tensor, Tensor]:
        size = dx.norm().item() * dw.norm().item() if self._in_two else 0.0
        if not (size > 0 and self._size > 0):  # also where a term is zero or not finite
            return super()._both(dx, dw)
        e = (self._size / size) ** 0.5
        plus = self._function(torch.add(self._x, dx, alpha=e), torch.add(self._w, dw, alpha=e))
        minus = self._function(torch.add(self._x, dx, alpha=-e), torch.add(self._w, dw, alpha=-e))
        moved = (plus - minus).div_(2 * e)
        return moved, (inner(self._adjoint, plus.add_(minus)) - 2 * self._value) / e**2

    def _spread(self, bias: Tensor) -> Tensor:
        return bias[:, None, None]
