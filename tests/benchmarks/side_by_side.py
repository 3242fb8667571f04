"""Two ways to one result, timed in turn in one process.

Other load on the machine slows both sides alike: each pair times both, the first one in turn, and the
median of the pairs' ratios counts. A ratio is printed only after a check that both sides computed the same
thing.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import torch


@dataclass(frozen=True)
class Comparison:
    """One row of the table.

    `ours` and `theirs` do the same `work` (how many `unit`s) when called. `check` returns the distance
    between the two results, at most `tolerance`; `equality` says what it compares. `bar` is the ratio asked
    for, if any.
    """

    what: str
    peer: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    work: float
    unit: str
    check: Callable[[], float]
    tolerance: float
    equality: str
    bar: float | None
    warmups: int = 1


@dataclass(frozen=True)
class Row:
    """Seconds per call of both sides, pair by pair, and the distance of their results."""

    what: str
    peer: str
    work: float
    unit: str
    tolerance: float
    equality: str
    bar: float | None
    ours_s: list[float]
    theirs_s: list[float]
    distance: float
    day: str = field(default_factory=lambda: date.today().isoformat())

    @property
    def ratios(self) -> list[float]:
        """How many times faster ours is, pair by pair."""
        return [theirs / ours for ours, theirs in zip(self.ours_s, self.theirs_s, strict=True)]

    @property
    def ratio(self) -> float:
        """The median over the pairs."""
        return statistics.median(self.ratios)


def measure(comparison: Comparison, pairs: int) -> Row:
    """Check, warm up, and time `pairs` pairs. SystemExit when the results of the sides differ."""
    distance = comparison.check()
    if not distance <= comparison.tolerance:
        raise SystemExit(
            f"{comparison.what} against {comparison.peer}: the results differ by {distance:.2e}, more than "
            f"{comparison.tolerance:.0e}, so their times say nothing"
        )
    sides = (comparison.ours, comparison.theirs)
    for side in sides * comparison.warmups:
        side()
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(pairs):
        for index in (0, 1) if number % 2 else (1, 0):
            taken[index].append(seconds(sides[index]))
    shared = {name: value for name, value in vars(comparison).items() if name in Row.__annotations__}
    return Row(**shared, ours_s=taken[0], theirs_s=taken[1], distance=distance)


def seconds(call: Callable[[], Any]) -> float:
    """Duration of a call, GPU work included. Garbage is collected before the call and not during it."""
    gc.collect()
    gc.disable()
    try:
        _wait()
        started = time.perf_counter()
        call()
        _wait()
        return time.perf_counter() - started
    finally:
        gc.enable()


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
