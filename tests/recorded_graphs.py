"""What stands for CUDA graphs on a CPU: torch's own operations are recorded once, then run again on the same tensors.

As with a graph, Python is not run again: numbers that Python decided stay what they were, tensors that were made while
recording keep their places, and asking for a tensor's value is refused. Random operations ask the generator anew, as CUDA's
do. Unlike a graph, recording does the work; the first replay therefore does nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero", "aten.equal", "aten._to_copy.cpu")


class RecordedGraphs:
    """See above; `eager_calls` and `replays` count what was asked for."""

    def __init__(self) -> None:
        self.eager_calls = self.recordings = self.replays = 0

    def eagerly(self, function: Callable[[], None]) -> None:
        self.eager_calls += 1
        function()

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        self.recordings += 1
        tape, first = _Tape(), self.replays
        with tape:
            function()

        def replay() -> None:
            self.replays += 1
            if self.replays > first + 1:
                tape.replay()

        return replay


class _Tape(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self._operations: list[tuple] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if str(operation).startswith(WAITS):
            raise RuntimeError(f"{operation} waits for the device, which a graph cannot record")
        result = operation(*args, **(kwargs or {}))
        self._operations.append((operation, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for operation, args, kwargs, recorded in self._operations:
            for place, value in zip(tree_leaves(recorded), tree_leaves(operation(*args, **kwargs))):
                # views and results written in place are where they belong already
                if isinstance(place, torch.Tensor) and place.data_ptr() != value.data_ptr():
                    place.copy_(value)
