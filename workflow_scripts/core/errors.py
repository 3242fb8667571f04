"""The exceptions that reach the user as one line, and the signals that ask a step to stop."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class PipelineError(Exception):
    """Something the user can act on: what happened, where, what to do. Printed as one line; exit code 1."""


class ConfigError(PipelineError):
    """A configuration value that is unknown, of the wrong type or impossible; names the file and the key."""


class NotFiniteError(PipelineError):
    """A run's numbers are NaN or infinite: a finding about the run, which its steps record, and no fault."""


class Stopped(Exception):
    """A signal ended the step early; the message says what was kept. Exit code 128 + signal number."""

    def __init__(self, signal_number: int, message: str):
        super().__init__(f"stopped by {signal.Signals(signal_number).name}; {message}")
        self.exit_code = 128 + signal_number


class StopSignals:
    """Defer SIGTERM and SIGINT to the next step boundary: in this context `received` keeps the first.

    Further SIGTERMs change nothing, because cluster managers and timeout(1) send it twice. A second Ctrl-C
    raises KeyboardInterrupt, so that a hanging step can be ended by hand. Main thread only.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self._before = {which: signal.signal(which, self._keep) for which in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt


def shorten(text: object, length: int = 200) -> str:
    """The text on one line, cut to `length` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[:length] + "…"
