"""Two ways to one result, timed in turn in one process, and what their times say.

Whatever else the machine does falls on both sides alike: each pair times both, the first one in turn, and the median of the
pairs' ratios counts. A ratio stands only beside a check that both sides computed the same thing.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import torch

# Products of which the fastest counts: the first ones find neither their memory in the cache nor the threads awake.
PRODUCTS = 3


@dataclass(frozen=True)
class Comparison:
    """One row of the table.

    `ours` and `theirs` do the same `work` (how many `unit`s) when called. `check` returns how far apart the two sides'
    results are, which must not exceed `tolerance`; `equality` says in words what it compares and why that far is the same.
    `bar` is the ratio asked for, None where none is. `note` is what a reader must know to judge the ratio. `arithmetic` is a
    product of large matrices on the same device and threads, and how many of them have as many floating-point operations as
    `ours`: how fast ours could be if it did nothing else.
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
    note: str = ""
    arithmetic: tuple[Callable[[], Any], float] | None = None
    warmups: int = 1


@dataclass(frozen=True)
class Row:
    """What a comparison came to: seconds per call of both sides, pair by pair, and the distance of their results.

    `arithmetic_s` are the seconds of ours' floating-point operations at the rate of a large matrix product, pair by pair;
    `day` is when it was measured.
    """

    what: str
    peer: str
    work: float
    unit: str
    ours_s: list[float]
    theirs_s: list[float]
    distance: float
    tolerance: float
    equality: str
    bar: float | None
    note: str = ""
    arithmetic_s: list[float] | None = None
    day: str = field(default_factory=lambda: date.today().isoformat())

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def ratios(self) -> list[float]:
        """How many times faster ours is, pair by pair."""
        return [theirs / ours for ours, theirs in zip(self.ours_s, self.theirs_s, strict=True)]

    @property
    def ratio(self) -> float:
        """How many times faster ours is: the median over the pairs."""
        return statistics.median(self.ratios)

    @property
    def limit(self) -> float | None:
        """The ratio if ours were nothing but its floating-point operations, at the rate of a large matrix product."""
        if self.arithmetic_s is None:
            return None
        return statistics.median(
            theirs / least for least, theirs in zip(self.arithmetic_s, self.theirs_s, strict=True)
        )


def measure(comparison: Comparison, pairs: int) -> Row:
    """Check, warm up, and time `pairs` pairs. SystemExit when the two sides did not compute the same thing."""
    distance = comparison.check()
    if not distance <= comparison.tolerance:
        raise SystemExit(
            f"{comparison.what} against {comparison.peer}: the results are {distance:.2e} apart, more than "
            f"{comparison.tolerance:.0e}, so their times say nothing"
        )
    sides = (comparison.ours, comparison.theirs)
    for side in sides * comparison.warmups:
        side()
    taken: tuple[list[float], list[float]] = ([], [])
    arithmetic_s = []
    for number in range(pairs):
        for index in (0, 1) if number % 2 else (1, 0):
            taken[index].append(seconds(sides[index]))
        if comparison.arithmetic is not None:
            product, count = comparison.arithmetic
            arithmetic_s.append(count * min(seconds(product) for _ in range(PRODUCTS)))
    ours_s, theirs_s = taken
    return Row(
        comparison.what,
        comparison.peer,
        comparison.work,
        comparison.unit,
        ours_s,
        theirs_s,
        distance,
        comparison.tolerance,
        comparison.equality,
        comparison.bar,
        comparison.note,
        arithmetic_s or None,
    )


def seconds(call: Callable[[], Any]) -> float:
    """How long a call takes, what it left running on a GPU included.

    Python collects its garbage before, not during the call (as `timeit` has it): which side a collection of what both
    have left falls on is chance.
    """
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
