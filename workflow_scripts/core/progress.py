"""Progress lines of long work, for terminals and logs: how far, how fast, time left."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TextIO

# A line follows the last one after this share of the time so far, so that the log of a long run stays short.
SHARE_BETWEEN_LINES = 0.02


class Progress:
    """Print `label: done/total unit, note, rate, time left` to standard error and a log, now and then.

    Without a `total` it prints `label: done unit, note, rate`. `start` units were done before this work
    began. Lines are at least `every_s` seconds apart.
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
        self.label, self.total, self.unit = label, total, unit
        self.log, self.start, self.every_s = log, start, every_s
        self.started = self.last_printed = time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        """Tell how many units are done; the last one is always printed."""
        now = time.monotonic()
        elapsed = max(now - self.started, 1e-9)
        finished = self.total is not None and done >= self.total
        if not finished and now - self.last_printed < max(self.every_s, SHARE_BETWEEN_LINES * elapsed):
            return
        self.last_printed = now
        rate = (done - self.start) / elapsed
        left = ""
        if finished:
            left = f"took {elapsed:.1f} s"
        elif self.total is not None and rate > 0:
            left = f"{(self.total - done) / rate:.0f} s left"
        amount = f"{done} {self.unit}" if self.total is None else f"{done}/{self.total} {self.unit}"
        words = (amount, note, f"{rate:.1f} {self.unit}/s", left)
        say(f"{self.label}: {', '.join(filter(None, words))}", self.log)


def say(line: str, log: TextIO | None = None) -> None:
    """Print one line to standard error and, when given, to the log."""
    for place in filter(None, (sys.stderr, log)):
        # Neither a full disk nor a reader that has gone (`2>&1 | head`, a closed terminal) ends the work.
        with contextlib.suppress(OSError):
            print(line, file=place, flush=True)
