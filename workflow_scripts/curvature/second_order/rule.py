"""What every rule is made from, what it computes, and its commonest sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# From x', for each tensor passed to the operation in order, to y', for each tensor made, and the share of the second
# derivative (a scalar). None stands for zeros.
Rule = Callable[[list[Tensor | None]], tuple[list[Tensor | None], Tensor | None]]


@dataclass(frozen=True)
class Call:
    """One operation of a loss: `function(*args, **kwargs)`, which made the tensors `made`."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    made: list[Tensor]


def inner(first: Tensor, second: Tensor) -> Tensor:
    """The sum of the products of all entries of two tensors of one shape."""
    return torch.dot(first.flatten(), second.flatten())
