"""A function of fixed tensors on a CPU: torch's operations, written down once, then done again without what chose them.

Below modules, autograd and autocast a training step is the same few hundred operations on tensors every time. What chooses
them, and notes how to derive them, takes a tenth of a small batch's step.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten
# Python is told what tensors hold, and may do something else with the next ones.
TELLS_VALUES = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
# The frequent operations as Python's own functions, which take half a microsecond less than torch.ops.
METHODS = {
    aten.view.default: "view",
    aten._unsafe_view.default: "view",
    aten.t.default: "t",
    aten.transpose.int: "transpose",
    aten.expand.default: "expand",
    aten.squeeze.dim: "squeeze",
    aten.mul.Tensor: "mul",
    aten.mul_.Tensor: "mul_",
    aten.add.Tensor: "add",
    aten.bmm.default: "bmm",
    aten.mm.default: "mm",
    aten.sum.dim_IntList: "sum",
    # whose name, `random_.from`, is no Python
    getattr(aten.random_, "from"): "random_",
}
FUNCTIONS = {
    aten.convolution.default: torch.convolution,
    aten.native_group_norm.default: torch.native_group_norm,
    aten.addmm.default: torch.addmm,
    aten.baddbmm.default: torch.baddbmm,
    aten.cat.default: torch.cat,
    aten.silu.default: torch.nn.functional.silu,
}


class RecordedOperations:
    """A CPU's way of recording a function (`Graphs` in `capture.py`), whose results stay the function's own to the byte.

    The call after the recorded one proves it: it does both. Where the recording leaves other values than the function (which
    computes something outside torch), or where the function looked at a tensor's value, the function is called from then on.
    What Python decides differently only in later calls (a learning rate that falls) is not done, as by a GPU's graph.
    """

    def __init__(self) -> None:
        self.operations = 0  # of the last recording; 0 where the function is called

    def eagerly(self, function: Callable[[], None]) -> None:
        function()

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        """Unlike a graph's, this recording does the work; the first call of what is returned does nothing."""
        tape = Tape()
        with tape:
            function()
        if tape.asked_for_values:
            calls = iter((_nothing,))
            return lambda: next(calls, function)()
        replay, self.operations = tape.replay(), tape.operations

        def prove() -> None:
            nonlocal replay
            if not _leave_the_same(function, replay, tape.written):
                replay, self.operations = function, 0

        calls = iter((_nothing, prove))
        return lambda: next(calls, replay)()


def _nothing() -> None: ...


def _leave_the_same(function: Callable[[], None], replay: Callable[[], None], written: list[Tensor]) -> bool:
    """Whether `replay` leaves the bytes in `written` that `function` does; those of `function` are left."""
    before, seed = _copies(written), torch.get_rng_state()
    function()
    after, seed_after = _copies(written), torch.get_rng_state()
    _set_values(written, before, seed)
    replay()
    same = all(map(_same_bytes, written, after)) and torch.equal(torch.get_rng_state(), seed_after)
    if not same:
        _set_values(written, after, seed_after)
    return same


def _copies(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


@torch.no_grad()
def _set_values(tensors: list[Tensor], values: list[Tensor], seed: Tensor) -> None:
    for tensor, value in zip(tensors, values):
        tensor.copy_(value)
    torch.set_rng_state(seed)


class Tape(TorchDispatchMode):
    """The operations that are done while it is entered, on tensors that were there before (fixed) or that an operation made.

    `written` are the fixed tensors that an operation writes to. `asked_for_values` says that one of them depends on what
    tensors hold. Everything else that Python decided is part of the recording.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked_for_values, self.operations = False, 0
        self.written: list[Tensor] = []
        self._fixed: list[Tensor] = []
        self._graph = fx.Graph()
        self._end_of_fixed = self._graph.placeholder("end_of_fixed")
        # By tensor, weakly: what the function would free while it runs is freed while it is recorded.
        self._nodes, self._made = WeakTensorKeyDictionary(), WeakTensorKeyDictionary()

    def replay(self) -> Callable[[], None]:
        """What does the recorded operations on the fixed tensors, as they are then."""
        self._graph.output(None)
        run, fixed = fx.GraphModule(torch.nn.Module(), self._graph).forward, (*self._fixed, None)

        def replay() -> None:
            with torch.inference_mode():
                run(*fixed)

        return replay

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.asked_for_values |= _tells_values(operation, args)
        writes_to = _written(operation, args, kwargs)
        self._note_written(writes_to)
        result = operation(*args, **kwargs)
        made = _tensors(result)
        if not writes_to and (
            not made or (_is_view(operation) and not any(map(self._was_made, _tensors((args, kwargs)))))
        ):
            return result  # a question about shapes, or a view of a fixed tensor, which is fixed as well
        self._made.update(
            (tensor, True) for tensor in made if not any(tensor is given for given in writes_to)
        )
        if operation is aten.detach.default:
            self._nodes[result] = self._node(args[0])
        else:
            self._add(operation, *tree_map_only(Tensor, self._node, (args, kwargs)), result)
        return result

    def _was_made(self, tensor: Tensor) -> bool:
        return tensor in self._made

    def _add(self, operation, args: tuple, kwargs: dict[str, Any], result: Any) -> None:
        self.operations += 1
        if operation in METHODS:
            node = self._graph.call_method(METHODS[operation], args, kwargs)
        else:
            node = self._graph.call_function(FUNCTIONS.get(operation, operation), args, kwargs)
        if isinstance(result, Tensor):
            self._nodes[result] = node
            return
        for number, tensor in enumerate(result or ()):
            if isinstance(tensor, Tensor):
                self._nodes[tensor] = self._graph.call_function(operator.getitem, (node, number))

    def _node(self, tensor: Tensor) -> fx.Node:
        if tensor not in self._nodes:
            with self._graph.inserting_before(self._end_of_fixed):
                self._nodes[tensor] = self._graph.placeholder(f"fixed_{len(self._fixed)}")
            self._fixed.append(tensor.detach())
        return self._nodes[tensor]

    def _note_written(self, tensors: list[Tensor]) -> None:
        for tensor in tensors:
            if not self._was_made(tensor) and not any(tensor is known for known in self.written):
                self.written.append(tensor)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _written(operation, args: tuple, kwargs: dict[str, Any]) -> list[Tensor]:
    parameters = operation._schema.arguments
    given = {**{parameter.name: value for parameter, value in zip(parameters, args)}, **kwargs}
    return _tensors([given.get(parameter.name) for parameter in parameters if parameter.is_write])


def _tells_values(operation, args: tuple) -> bool:
    if operation is aten.index.Tensor:  # only masks make a shape that depends on them
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return not TELLS_VALUES.isdisjoint(operation.tags)


def _is_view(operation) -> bool:
    return all(
        made.alias_info is not None and not made.alias_info.is_write for made in operation._schema.returns
    )


def _same_bytes(one: Tensor, other: Tensor) -> bool:
    return torch.equal(*(tensor.detach().contiguous().flatten().view(torch.uint8) for tensor in (one, other)))
