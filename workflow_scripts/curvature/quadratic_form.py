"""The quadratic form v^T H v of a loss's Hessian, without the product H v, which would cost over twice as much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from workflow_scripts.curvature.second_order.choose import choose_rule
from workflow_scripts.curvature.second_order.rule import Call, Rule


class QuadraticForm:
    """`form(vector [P]) -> v^T H v`, H the Hessian of `loss()` in all P entries of `parameters`, in that order.

    The chain rule's second derivative along v, written over the operations y = f(x) of which the loss consists:

        v^T H v = sum over operations of < adjoint of y, D^2 f(x) [x', x'] >,   x' the derivative of x along v

    (Griewank and Walther 2008, "Evaluating Derivatives", chapters 5 and 13). The adjoints do not depend on v and are
    computed once; a vector then takes one forward pass. Where f is a convolution, this is two convolutions, where the
    product H v (Pearlmutter 1994) takes six. `loss` is called once, must not change tensors in place and must not draw
    random numbers; ValueError where it does, or when the loss is not a scalar.
    """

    def __init__(self, loss: Callable[[], Tensor], parameters: Sequence[Tensor]):
        self._parameters = list(parameters)
        self._sizes = [parameter.numel() for parameter in self._parameters]
        tape = _Tape(self._parameters)
        # The fused attention kernels have no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            with tape:
                value = loss()
            if value.ndim != 0:
                raise ValueError(f"the loss must be a scalar, got shape {list(value.shape)}")
            self._operations = tape.operations(value)

    def __call__(self, vector: Tensor) -> float:
        pieces = vector.split(self._sizes)
        tangents: dict[int, Tensor | None] = {
            slot: piece.view_as(parameter)
            for slot, (piece, parameter) in enumerate(zip(pieces, self._parameters))
        }
        terms = []
        for inputs, outputs, rule in self._operations:
            # A tensor of which only the shape is used may have come of an operation that was left out.
            moved, second = rule([None if slot is None else tangents.get(slot) for slot in inputs])
            tangents.update(zip(outputs, moved))
            if second is not None:
                terms.append(second)
        # Terms of both signs nearly cancel where the curvature is small.
        return torch.stack(terms).double().sum().item() if terms else 0.0


class _Tape(TorchFunctionMode):
    """Every torch function that the loss calls on something that depends on the parameters, in order.

    What depends on the parameters has a slot, a number that stands for it in the calls' inputs and outputs.
    """

    def __init__(self, parameters: Sequence[Tensor]):
        super().__init__()
        self._kept: list[
            tuple[Tensor, int]
        ] = []  # so that no identity is given twice, and what each tensor's version was
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
            # A function may hand its argument back, as `contiguous` does.
            made = [tensor for tensor in made if self._slot(tensor) is None]
            if made:
                self._calls.append(Call(function, args, kwargs, made))
                for tensor in made:
                    self._keep(tensor)
        return result

    def operations(self, value: Tensor) -> list[tuple[list[int | None], list[int], Rule]]:
        """(slots of the tensors passed, slots of the tensors made, the operation) for each call that `value` depends on."""
        if any(tensor._version != version for tensor, version in self._kept):
            raise ValueError(
                "the loss changes a tensor in place; curvature needs a network without in-place operations"
            )
        results = [tensor for call in self._calls for tensor in call.made]
        adjoints = iter(torch.autograd.grad(value, results, allow_unused=True))
        kept = []
        for call in self._calls:
            bars = [next(adjoints) for _ in call.made]
            if any(bar is not None for bar in bars):
                inputs = [
                    self._slot(leaf)
                    for leaf in tree_leaves((call.args, call.kwargs))
                    if isinstance(leaf, Tensor)
                ]
                filled = [
                    torch.zeros_like(tensor) if bar is None else bar for bar, tensor in zip(bars, call.made)
                ]
                outputs = [self._slots[id(tensor)] for tensor in call.made]
                kept.append(
                    (inputs, outputs, choose_rule(call, [slot is not None for slot in inputs], filled))
                )
        return kept

    def _keep(self, tensor: Tensor) -> None:
        self._slots[id(tensor)] = len(self._kept)
        self._kept.append((tensor, tensor._version))

    def _slot(self, leaf: Any) -> int | None:
        return self._slots.get(id(leaf)) if isinstance(leaf, Tensor) else None
