"""The quadratic form v^T H v of a loss's Hessian, at less than half the cost of the product H v."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from workflow_scripts.curvature.second_order import Call, Rule, choose_rule


class QuadraticForm:
    """`form(vector [P]) -> v^T H v`, with H the Hessian of `loss()` in all P entries of `parameters`.

    The chain rule's second derivative along v, written over the operations y = f(x) of which the loss
    consists:

        v^T H v = sum over operations of < adjoint of y, D^2 f(x) [x', x'] >,   x' the derivative of x along v

    (Griewank and Walther 2008, "Evaluating Derivatives", chapters 5 and 13). The adjoints do not depend on v
    and are computed once; each vector then takes one forward pass. A convolution costs two convolutions per
    vector, against six for the product H v (Pearlmutter 1994). `loss` is called once. ValueError when it is
    not a scalar, changes a tensor in place or draws random numbers.
    """

    def __init__(self, loss: Callable[[], Tensor], parameters: Sequence[Tensor]):
        self._parameters = list(parameters)
        self._sizes = [parameter.numel() for parameter in self._parameters]
        tape = _Tape(self._parameters)
        with tape:
            value = loss()
        if value.ndim != 0:
            raise ValueError(f"the loss must be a scalar, got shape {list(value.shape)}")
        self._operations = tape.operations(value)

    def __call__(self, vector: Tensor) -> float:
        pieces = zip(vector.split(self._sizes), self._parameters)
        tangents = {slot: piece.view_as(parameter) for slot, (piece, parameter) in enumerate(pieces)}
        terms = []
        for inputs, outputs, rule in self._operations:
            moved, second = rule([None if slot is None else tangents[slot] for slot in inputs])
            tangents.update(zip(outputs, moved))
            if second is not None:
                terms.append(second)
        # In float64, since terms of both signs nearly cancel where the curvature is small.
        return torch.stack(terms).double().sum().item() if terms else 0.0


class _Tape(TorchFunctionMode):
    """Records, in order, every torch function that is called on a tensor that depends on the parameters.

    Each such tensor gets a slot, the number under which the operations refer to it.
    """

    def __init__(self, parameters: Sequence[Tensor]):
        super().__init__()
        # Tensors with their versions; keeping them alive keeps their ids unique.
        self._kept: list[tuple[Tensor, int]] = []
        self._slots: dict[int, int] = {}
        self._calls: list[Call] = []
        for parameter in parameters:
            self._keep(parameter)

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if any(self._slot(leaf) is not None for leaf in tree_leaves((args, kwargs))):
            made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and leaf.requires_grad]
            # A function may return its argument, as `contiguous` does.
            made = [tensor for tensor in made if self._slot(tensor) is None]
            self._calls.append(Call(function, args, kwargs, made))
            for tensor in made:
                self._keep(tensor)
        return result

    def operations(self, value: Tensor) -> list[tuple[list[int | None], list[int], Rule]]:
        """List (slots of the inputs, slots of the outputs, rule) of each call that `value` depends on."""
        if any(tensor._version != version for tensor, version in self._kept):
            raise ValueError("the loss changes a tensor in place; curvature needs out-of-place operations")
        made = [tensor for call in self._calls for tensor in call.made]
        adjoints = iter(torch.autograd.grad(value, made, allow_unused=True))
        operations = []
        for call in self._calls:
            found = [next(adjoints) for _ in call.made]
            outputs = [self._slots[id(tensor)] for tensor in call.made]
            if all(adjoint is None for adjoint in found):  # the loss reads nothing but shapes of its outputs
                for tensor in call.made:
                    del self._slots[id(tensor)]
                continue
            leaves = tree_leaves((call.args, call.kwargs))
            inputs = [self._slot(leaf) for leaf in leaves if isinstance(leaf, Tensor)]
            filled = [torch.zeros_like(y) if a is None else a for a, y in zip(found, call.made)]
            rule = choose_rule(call, [slot is not None for slot in inputs], filled)
            operations.append((inputs, outputs, rule))
        return operations

    def _keep(self, tensor: Tensor) -> None:
        self._slots[id(tensor)] = len(self._kept)
        self._kept.append((tensor, tensor._version))

    def _slot(self, leaf: Any) -> int | None:
        return self._slots.get(id(leaf)) if isinstance(leaf, Tensor) else None
