"""Second-order rules: what one operation y = f(x) adds to a loss's second derivative along a line.

Along a line in the parameters, x' is the derivative of the operation's inputs and y' = Df(x) x' that of its
outputs. With a the adjoint of y (the loss's derivative with respect to y), the operation's share of the
loss's second derivative is < a, D^2 f(x) [x', x'] >. A rule maps x' to y' and this share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

# x' has one entry for each input tensor, None for one that does not depend on the parameters.
Tangents = Sequence[Tensor | None]
# y' has one entry for each output tensor; the share is None where it is zero.
Result = tuple[list[Tensor], Tensor | None]
Rule = Callable[[Tangents], Result]

# Linear in all tensors together.
RESHAPES = (Tensor.view, Tensor.reshape, Tensor.flatten, Tensor.unflatten)
LINEAR = (
    *RESHAPES,
    Tensor.transpose,
    Tensor.expand,
    Tensor.chunk,
    Tensor.split,
    Tensor.__getitem__,
    torch.cat,
    functional.interpolate,
)

TINY = 1e-20  # keeps quotients of norms finite where one of them is zero


@dataclass(frozen=True)
class Call:
    """One operation of a loss: `function(*args, **kwargs)`, which made the tensors `made`."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    made: list[Tensor]


def choose_rule(call: Call, active: Sequence[bool], adjoints: Sequence[Tensor]) -> Rule:
    """Choose the rule of a call: a fast one for what takes a U-Net's time, else torch's derivatives.

    `active` tells which of the tensors passed depend on the parameters, `adjoints` holds one tensor for each
    in `call.made`. ValueError for a function that returns another result the second time.
    """
    function, args, kwargs = call.function, call.args, call.kwargs
    num_active = len(active) if all(active) else 0
    if num_active and (
        function in LINEAR
        or (function is Tensor.add and num_active == 2)  # not for a tensor and a number
        or (function is Tensor.mul and num_active == 1)  # not for two tensors
    ):
        return Linear(call)
    if function is functional.group_norm and num_active == 3:
        return GroupNorm(*args, **kwargs, adjoint=adjoints[0])
    if function is functional.silu and num_active == 1:
        return Elementwise(functional.silu, args[0], adjoints[0])
    if function is Tensor.softmax and num_active == 1 and set(kwargs) == {"dim"}:
        return Softmax(call.made[0], adjoints[0], **kwargs)
    if not kwargs:
        if function is functional.conv2d and num_active == 3:
            return Convolution(*args, made=call.made[0], adjoint=adjoints[0])
        if (function is functional.linear and num_active == 3) or (function is torch.bmm and num_active == 2):
            return Bilinear(function, *args[:2], adjoints[0])
        if function is torch.baddbmm and num_active == 3:
            product = Bilinear(torch.bmm, *args[1:], adjoints[0])
            return lambda tangents: product([*tangents[1:], tangents[0]])
    return AnyFunction(call, active, adjoints)


class Linear:
    """f linear in all its tensors together: y' = f(x'), and no second derivative."""

    def __init__(self, call: Call):
        self._call = call
        self._leaves, self._tree = tree_flatten((call.args, call.kwargs))
        self._places = [place for place, leaf in enumerate(self._leaves) if isinstance(leaf, Tensor)]

    def __call__(self, tangents: Tangents) -> Result:
        if self._call.function in RESHAPES:  # a tangent may have another layout in memory than its tensor
            return [tangents[0].reshape(self._call.made[0].shape)], None
        leaves = list(self._leaves)
        for place, tangent in zip(self._places, tangents):
            leaves[place] = tangent
        args, kwargs = tree_unflatten(leaves, self._tree)
        return tree_leaves(self._call.function(*args, **kwargs)), None


class Bilinear:
    """f(x, w) + b with f linear in x and in w.

    y' = f(x', w) + f(x, w') + b', and the second derivative is 2 f(x', w'). The tangents are [x', w'] or [x',
    w', b'].
    """

    def __init__(self, function: Callable[..., Tensor], x: Tensor, w: Tensor, adjoint: Tensor):
        self._function, self._x, self._w, self._twice_adjoint = function, x.detach(), w.detach(), 2 * adjoint

    def __call__(self, tangents: Tangents) -> Result:
        dx, dw, *biases = tangents
        moved = self._function(dx, self._w).add_(self._function(self._x, dw))
        for db in biases:
            moved.add_(db)
        return [moved], _inner(self._twice_adjoint, self._function(dx, dw))


class Convolution:
    """conv2d with two convolutions per vector instead of three: f(x', w') and, since f is bilinear, for any e

        f(x / e + x', w + e w') = f(x, w) / e + y' + e f(x', w'),

    in which f(x, w) is known. The chosen e makes the terms equally large, so that none loses digits. It stays
    on the device, so that a GPU need not be waited for.
    """

    def __init__(self, x: Tensor, w: Tensor, bias: Tensor, *options: Any, made: Tensor, adjoint: Tensor):
        self._x, self._w, self._options, self._twice_adjoint = x.detach(), w.detach(), options, 2 * adjoint
        self._known = made.detach() - bias.detach()[:, None, None]
        self._size = self._x.norm() * self._w.norm() + TINY

    def __call__(self, tangents: Tangents) -> Result:
        dx, dw, db = tangents
        e = (self._size / (dx.norm() * dw.norm() + TINY)).sqrt()
        inverse = e.reciprocal()
        product = functional.conv2d(dx, dw, None, *self._options)
        x, w = torch.addcmul(dx, self._x, inverse), torch.addcmul(self._w, dw, e)
        moved = functional.conv2d(x, w, db, *self._options)
        moved.addcmul_(self._known, inverse, value=-1).addcmul_(product, e, value=-1)
        return [moved], _inner(self._twice_adjoint, product)


class Elementwise:
    """f of one entry at a time: y' = f'(x) x', and the second derivative is f''(x) x'^2."""

    def __init__(self, function: Callable[[Tensor], Tensor], x: Tensor, adjoint: Tensor):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            (first,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
            (second,) = torch.autograd.grad(first.sum(), x)
        self._first, self._second = first.detach(), second * adjoint

    def __call__(self, tangents: Tangents) -> Result:
        (dx,) = tangents
        return [self._first * dx], _inner(self._second * dx, dx)


class Softmax:
    """y = softmax(x) over `dim`.

    With u = x' - sum(y x'), y' = y u, and the second derivative is y' u - y sum(y' u).
    """

    def __init__(self, y: Tensor, adjoint: Tensor, dim: int):
        self._y, self._dim = y.detach(), dim
        # < a, y' u - y sum(y' u) > = < a - sum(a y), y' u >
        self._centred_adjoint = adjoint - (adjoint * self._y).sum(dim, keepdim=True)

    def __call__(self, tangents: Tangents) -> Result:
        (dx,) = tangents
        moved = self._y * dx
        u = dx - moved.sum(self._dim, keepdim=True)
        torch.mul(self._y, u, out=moved)
        return [moved], _inner(self._centred_adjoint, u.mul_(moved))


class GroupNorm:
    """y = w n + b with n = r (x - mean(x)), r = (var(x) + eps)^(-1/2), over groups of channels.

    Wu and He 2018, "Group normalization", for x [B, C, ...]. With m = mean(x'), c = mean(n x') and s =
    mean(x'^2) - m^2 over each group, n' = r (x' - m - c n) and n'' = r^2 ((3 c^2 - s) n - 2 c (x' - m)). The
    tangents are [x', w', b'].
    """

    def __init__(
        self, x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float, *, adjoint: Tensor
    ):
        batch, channels = x.shape[:2]
        self._shape, self._groups = x.shape, (batch, num_groups, channels // num_groups)
        grouped = x.detach().reshape(batch, num_groups, -1)
        variance, mean = torch.var_mean(grouped, dim=2, correction=0, keepdim=True)
        self._rate = torch.rsqrt(variance + eps)  # [B, groups, 1]
        self._normal = ((grouped - mean) * self._rate).view(batch, channels, -1)  # [B, C, pixels]
        self._weight = weight.detach().view(self._groups[1:])
        self._adjoint = adjoint.reshape(self._normal.shape)
        self._adjoint_sums = self._of_channels(self._adjoint)
        self._adjoint_normal = self._of_channels(self._adjoint * self._normal)

    def __call__(self, tangents: Tangents) -> Result:
        dx, dw, db = tangents
        dx, dw, db = dx.reshape(self._normal.shape), dw.view(self._groups[1:]), db.view(self._groups[1:])
        count = self._groups[2] * dx.shape[2]
        m = self._of_channels(dx).sum(2, keepdim=True) / count
        c = self._of_channels(self._normal * dx).sum(2, keepdim=True) / count
        squares = torch.linalg.vector_norm(dx.reshape(*self._groups[:2], -1), dim=2, keepdim=True).square()
        s = squares / count - m.square()
        # < a, x' - m > of each channel
        centred = self._of_channels(self._adjoint * dx) - m * self._adjoint_sums
        curved = (3 * c.square() - s) * self._adjoint_normal - 2 * c * centred
        second = (self._weight * self._rate.square() * curved).sum()
        second = second + 2 * (dw * self._rate * (centred - c * self._adjoint_normal)).sum()
        # y' = slope x' + of_normal n + shift, with one factor for each channel
        slope = self._rate * self._weight
        slope, of_normal, shift = (
            factor.view(*self._normal.shape[:2], 1) for factor in (slope, dw - c * slope, db - m * slope)
        )
        moved = (self._normal * of_normal).addcmul_(slope, dx).add_(shift)
        return [moved.view(self._shape)], second

    def _of_channels(self, values: Tensor) -> Tensor:
        """Sum [B, C, pixels] over pixels, to [B, groups, channels of a group]."""
        return values.sum(2).view(self._groups)


class AnyFunction:
    """Any function that torch can differentiate twice, of any number of tensors.

    Its gradient g(x, a) = Df(x)^T a is linear in the adjoint a. One reverse pass through g, started with x',
    therefore gives y' (with respect to a) and D^2 f(x) [x', .] a (with respect to x). The graph of g is built
    once.
    """

    def __init__(self, call: Call, active: Sequence[bool], adjoints: Sequence[Tensor]):
        leaves, tree = tree_flatten((call.args, call.kwargs))
        places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        self._active = [i for i, is_active in enumerate(active) if is_active]
        self._x = [leaves[places[i]].detach().requires_grad_() for i in self._active]
        for i, x in zip(self._active, self._x):
            leaves[places[i]] = x
        args, kwargs = tree_unflatten(leaves, tree)
        with torch.enable_grad():
            again = tree_leaves(call.function(*args, **kwargs))
            outputs = [leaf for leaf in again if isinstance(leaf, Tensor) and leaf.requires_grad]
            if not all(torch.allclose(*pair, equal_nan=True) for pair in zip(outputs, call.made)):
                name = getattr(call.function, "__name__", call.function)
                raise ValueError(
                    f"{name} returned another result the second time; curvature needs a loss without random "
                    "numbers: put the network into evaluation mode"
                )
            self._adjoints = [adjoint.detach().requires_grad_() for adjoint in adjoints]
            self._gradients = torch.autograd.grad(
                outputs, self._x, self._adjoints, create_graph=True, allow_unused=True
            )

    def __call__(self, tangents: Tangents) -> Result:
        moving = [tangents[i] for i in self._active]
        gradients, directions = zip(*(pair for pair in zip(self._gradients, moving) if pair[0] is not None))
        derivatives = torch.autograd.grad(
            gradients, [*self._adjoints, *self._x], directions, retain_graph=True, allow_unused=True
        )
        moved, curved = derivatives[: len(self._adjoints)], derivatives[len(self._adjoints) :]
        shares = [_inner(h, dx) for h, dx in zip(curved, moving) if h is not None]
        filled = [torch.zeros_like(a) if y is None else y for a, y in zip(self._adjoints, moved)]
        return filled, torch.stack(shares).sum() if shares else None


def _inner(first: Tensor, second: Tensor) -> Tensor:
    """The sum of the products of all entries of two tensors of one shape."""
    return torch.dot(first.flatten(), second.flatten())
