"""A stand-in for CUDA graphs on a CPU: records torch's operations once, then repeats them.

As with a graph, Python does not run again, so numbers that Python decided keep their values, and asking for a
tensor's value is refused. Random operations draw anew, as CUDA's do. Unlike a graph, recording does the work,
so the first replay does nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from workflow_scripts.core import capture


class RecordedGraphs:
    """`eager_calls`, `recordings` and `replays` count what was asked for."""

    def __init__(self) -> None:
        self.eager_calls = self.recordings = self.replays = 0

    def eagerly(self, function: Callable[[], None]) -> None:
        self.eager_calls += 1
        function()

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        self.recordings += 1
        recorder, first = _Recorder(), True
        with recorder:
            function()

        def replay() -> None:
            nonlocal first
            self.replays += 1
            if not first:
                recorder.repeat()
            first = False

        return replay


def record_on_a_cpu(monkeypatch) -> RecordedGraphs:
    """Let `captured` record as on a GPU until the test ends."""
    graphs = RecordedGraphs()
    monkeypatch.setattr(capture, "graphs_for", lambda device: graphs)
    return graphs


class _Recorder(TorchDispatchMode):
    """Keeps every operation done while it is entered, below autograd, with its arguments and results."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if torch.Tag.data_dependent_output in operation.tags:
            raise RuntimeError("the function waits for the device, which a graph cannot record")
        result = operation(*args, **(kwargs or {}))
        self._calls.append((operation, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def repeat(self) -> None:
        made: dict[int, Tensor] = {}  # by the recorded tensor, which `_calls` keeps alive
        for operation, args, kwargs, result in self._calls:
            args, kwargs = tree_map_only(Tensor, lambda old: made.get(id(old), old), (args, kwargs))
            again = operation(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, Tensor):
                    made[id(old)] = new
