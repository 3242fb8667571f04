"""What stands for CUDA graphs on a CPU: torch's own operations are recorded once, then run again on the same tensors.

As with a graph, Python is not run again: numbers that Python decided stay what they were, and asking for a tensor's value is
refused. Random operations ask the generator anew, as CUDA's do. Unlike a graph, recording does the work; the first replay
therefore does nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from workflow_scripts.core.recorded_operations import Tape


class RecordedGraphs:
    """See above; `eager_calls` and `replays` count what was asked for."""

    def __init__(self) -> None:
        self.eager_calls = self.recordings = self.replays = 0

    def eagerly(self, function: Callable[[], None]) -> None:
        self.eager_calls += 1
        function()

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        self.recordings += 1
        tape, first = Tape(), self.replays
        with tape:
            function()
        if tape.asked_for_values:
            raise RuntimeError("the function waits for the device, which a graph cannot record")
        run = tape.replay()

        def replay() -> None:
            self.replays += 1
            if self.replays > first + 1:
                run()

        return replay


class NothingRecorded:
    """The function itself, every time."""

    def eagerly(self, function: Callable[[], None]) -> None:
        function()

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        return function
