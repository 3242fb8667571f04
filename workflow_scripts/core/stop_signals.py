"""SIGTERM and Ctrl-C as a wish that the work looks at between two steps, instead of an end in the middle of one."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """While this context is open, SIGTERM or Ctrl-C is kept in `received` and ends nothing.

    More of SIGTERM change nothing: cluster managers and timeout(1) send it twice. A second Ctrl-C has its usual effect, so
    that a step that hangs can be ended by hand. Main thread only.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._keep) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
