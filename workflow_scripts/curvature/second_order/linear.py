"""Functions that are linear in all tensors they are given together: views, pieces, sums, upsampling."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from workflow_scripts.curvature.second_order.rule import Call

# Those that keep entries and their order.
RESHAPES = (Tensor.view, Tensor.reshape, Tensor.flatten, Tensor.unflatten)
OF_TENSORS = (
    Tensor.transpose,
    Tensor.permute,
    Tensor.expand,
    Tensor.chunk,
    Tensor.split,
    Tensor.__getitem__,
    torch.cat,
    functional.interpolate,
)
SUMS = (torch.add, Tensor.add)  # of a tensor and a number they are not linear
SCALINGS = (torch.mul, Tensor.mul)  # of two tensors they are not linear


class Linear:
    """y' = f(x'), and no second derivative."""

    def __init__(self, call: Call):
        self._call = call
        self._leaves, self._tree = tree_flatten((call.args, call.kwargs))
        self._places = [place for place, leaf in enumerate(self._leaves) if isinstance(leaf, Tensor)]

    @staticmethod
    def is_for(call: Call, all_active: bool) -> bool:
        """Whether the call is of such a function, `all_active` if all tensors passed may move along the line."""
        count = sum(isinstance(leaf, Tensor) for leaf in tree_leaves((call.args, call.kwargs)))
        return all_active and (
            call.function in (*RESHAPES, *OF_TENSORS)
            or (call.function in SUMS and count == 2)
            or (call.function in SCALINGS and count == 1)
        )

    def __call__(self, tangents: list[Tensor | None]) -> tuple[list[Tensor | None], None]:
        if all(tangent is None for tangent in tangents):
            return [None] * len(self._call.made), None
        if self._call.function in RESHAPES:  # whatever the order in memory
            return [tangents[0].reshape(self._call.made[0].shape)], None
        leaves = list(self._leaves)
        for place, tangent in zip(self._places, tangents):
            leaves[place] = torch.zeros_like(leaves[place]) if tangent is None else tangent
        args, kwargs = tree_unflatten(leaves, self._tree)
        return tree_leaves(self._call.function(*args, **kwargs)), None
