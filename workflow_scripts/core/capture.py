"""Record a function of fixed tensors as a CUDA graph on a GPU, and replay it from then on.

Such a function takes and returns nothing. It reads and writes tensors that are made once and stay where they
are: inputs are copied into them (`send`), results are read out of them before the next call. It must not wait
for the device, and any Python value it uses (a step number, a seed) stays what it was when the graph was
recorded. Launching a graph costs the host about as much as launching one kernel, which matters where kernels
are many and small.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Calls before the recording: libraries choose kernels and optimizers make their state. torch advises three.
WARM_UP = 3

Function = Callable[[], None]


class CudaGraphs:
    """Records a function on a stream of its own, which also runs the calls before the recording."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()

    def eagerly(self, function: Function) -> None:
        """Call the function where it will be recorded."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            function()
        current.wait_stream(self._stream)

    def record(self, function: Function) -> Function:
        """Record the function; each call of the result, the first included, does its work once."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            function()
        return graph.replay


def graphs_for(device: torch.device) -> CudaGraphs | None:
    """How to record on `device`; None on a CPU, where functions are called as they are."""
    return CudaGraphs() if device.type == "cuda" else None


def captured(function: Function, device: torch.device) -> Function:
    """Return the function to call instead of `function`: itself on a CPU, its replayed graph on a GPU.

    Every call does the function's work once, the first few, which only call it, included.
    """
    graphs = graphs_for(device)
    if graphs is None:
        return function
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
    """Copy `values`, on the CPU or the device of `fixed`, into `fixed` without waiting for the device.

    `values` may be overwritten at once.
    """
    # torch keeps the pinned copy until the device has read it.
    pinned = fixed.device.type == "cuda" and values.device != fixed.device
    fixed.copy_(values.pin_memory() if pinned else values, non_blocking=fixed.device.type == "cuda")
