"""A function of fixed tensors that is called again and again: recorded once, as a CUDA graph on a GPU, then replayed.

Such a function takes nothing and returns nothing. It reads and writes tensors that are made once and stay where they are:
inputs are copied into them (`send`), results are read out of them before the next call. It never waits for the device,
and whatever else it looks at (a step number, a seed) is what it was when the graph was recorded. Launching a graph costs
the host about as much as launching one kernel, which is what counts where kernels are many and small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

# Calls before the recording. In the first, libraries choose kernels and optimizers make their state; torch advises three.
WARM_UP = 3

Function = Callable[[], None]


class Graphs(Protocol):
    """How one function is recorded: CUDA's way, a CPU's (`recorded_operations.py`), or what stands for CUDA's in tests."""

    def eagerly(self, function: Function) -> None:
        """Call the function where it will be recorded."""

    def record(self, function: Function) -> Function:
        """Record a call, whose work is done when what is returned has been called once, and again with every further call."""


class CudaGraphs:
    """CUDA's way: a stream of its own, on which the calls before the recording run too."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()

    def eagerly(self, function: Function) -> None:
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            function()
        current.wait_stream(self._stream)

    def record(self, function: Function) -> Function:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            function()
        return graph.replay


def captured(function: Function, device: torch.device, graphs: Graphs | None = None) -> Function:
    """What to call instead of `function`; on a CPU that is the function itself, unless `graphs` records it.

    Every call does the function's work once, the first ones, which only call it, as well.
    """
    if graphs is None:
        if device.type != "cuda":
            return function
        graphs = CudaGraphs()
    calls, replay = 0, None

    def call() -> None:
        nonlocal calls, replay
        calls += 1
        if calls <= WARM_UP:
            graphs.eagerly(function)
            return
        if replay is None:
            replay = graphs.record(function)
        replay()

    return call


def send(values: Tensor, fixed: Tensor) -> None:
    """Copy `values`, on the CPU or where `fixed` is, into `fixed` without waiting for its device.

    `values` may be overwritten at once.
    """
    # Torch keeps the pinned copy until the device has read it.
    fixed.copy_(values.pin_memory() if values.device != fixed.device else values, non_blocking=True)
