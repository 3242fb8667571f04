"""Progress lines for long work: how far, how fast, how long still."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TextIO


class Progress:
    """Prints `label: done/total unit, note, rate, time left` to standard error, and to a log, every few seconds.

    Without a `total` it prints `label: done unit, note, rate`, as long as the work lasts.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        unit: str,
        log: TextIO | None = None,
        start: int = 0,
        every_s: float = 5.0,
    ):
        self.label, self.total, self.unit, self.log, self.start, self.every_s = (
            label,
            total,
            unit,
            log,
            start,
            every_s,
        )
        self.started = self.last_printed = time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        """Tell how many units are done; prints when `every_s` have passed since the last line, and at the end."""
        now = time.monotonic()
        if (self.total is None or done < self.total) and now - self.last_printed < self.every_s:
            return
        self.last_printed = now
        elapsed = max(now - self.started, 1e-9)
        rate = (done - self.start) / elapsed
        middle = f", {note}" if note else ""
        if self.total is None:
            say(f"{self.label}: {done} {self.unit}{middle}, {rate:.1f} {self.unit}/s", self.log)
            return
        left = (
            f"{(self.total - done) / rate:.0f} s left"
            if done < self.total and rate > 0
            else f"took {elapsed:.1f} s"
        )
        say(
            f"{self.label}: {done}/{self.total} {self.unit}{middle}, {rate:.1f} {self.unit}/s, {left}",
            self.log,
        )


def say(line: str, log: TextIO | None = None) -> None:
    """Print one line to standard error and, when given, to the log."""
    print(line, file=sys.stderr, flush=True)
    if log is not None:
        # where the disk is full the log cannot be written either, and the line that says so must not be lost for it
        with contextlib.suppress(OSError):
            print(line, file=log, flush=True)


def open_log(path: str | Path | None) -> TextIO | None:
    """Open a step's log for writing, line by line, so that a killed step keeps what it said."""
    if path is None:
        return None
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return open(path, "w", encoding="utf-8", buffering=1)
