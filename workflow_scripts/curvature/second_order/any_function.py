"""The rule for whatever torch can differentiate twice."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from workflow_scripts.curvature.second_order.rule import Call, inner


class AnyFunction:
    """y = f(x) by torch's own derivatives, for any number of tensors in and out.

    Its gradient g(x, a) = Df(x)^T a is linear in the adjoint a. One reverse pass through g, started with x', therefore
    gives y' (with respect to a) and D^2 f(x) [x', .] a (with respect to x). The graph of g is made once.
    """

    def __init__(self, call: Call, active: Sequence[bool], adjoints: Sequence[Tensor]):
        leaves, tree = tree_flatten((call.args, call.kwargs))
        places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        self._active = [i for i, is_active in enumerate(active) if is_active]
        self._x = [leaves[places[i]].detach().requires_grad_() for i in self._active]
        for i, x in zip(self._active, self._x):
            leaves[places[i]] = x
        own_args, own_kwargs = tree_unflatten(leaves, tree)
        with torch.enable_grad():
            again = tree_leaves(call.function(*own_args, **own_kwargs))
            outputs = [leaf for leaf in again if isinstance(leaf, Tensor) and leaf.requires_grad]
            if not all(map(_same, outputs, call.made)):
                raise ValueError(
                    f"{getattr(call.function, '__name__', call.function)} gave another result the second time; curvature needs a "
                    "loss without random numbers: is the network in evaluation mode?"
                )
            self._adjoints = [adjoint.detach().requires_grad_() for adjoint in adjoints]
            self._gradients = torch.autograd.grad(
                outputs, self._x, self._adjoints, create_graph=True, allow_unused=True
            )

    def __call__(self, tangents: list[Tensor | None]) -> tuple[list[Tensor | None], Tensor | None]:
        moving = [tangents[i] for i in self._active]
        pairs = [(g, dx) for g, dx in zip(self._gradients, moving) if g is not None and dx is not None]
        if not pairs:
            return [None] * len(self._adjoints), None
        gradients, directions = zip(*pairs)
        derivatives = torch.autograd.grad(
            gradients, [*self._adjoints, *self._x], directions, retain_graph=True, allow_unused=True
        )
        moved, curved = list(derivatives[: len(self._adjoints)]), derivatives[len(self._adjoints) :]
        shares = [inner(h, dx) for h, dx in zip(curved, moving) if h is not None and dx is not None]
        return moved, torch.stack(shares).sum() if shares else None


def _same(first: Tensor, second: Tensor) -> bool:
    """Whether two results are equal but for rounding; nearly always they are equal, which is quicker to see."""
    return torch.equal(first, second) or torch.allclose(first, second, equal_nan=True)
