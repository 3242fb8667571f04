"""Metrics, one module each, loaded by the names in the study's list `metrics` (core/registry.py).

A metric is a function called like its module. What it needs is what its parameters are called
(study/measures.py). It returns a number, a `Measured`, or a dict of these by the metric of their rows.
`ROWS` gives for each metric of its rows {better: lower | higher | a target, unit}; a name may end with *.
With `MIN_SAMPLES`, a study with fewer is refused before anything runs.
"""

from __future__ import annotations

from typing import NamedTuple


class Measured(NamedTuple):
    """A value with a standard error and a 95 % interval, where they are known."""

    value: float
    stderr: float | None = None
    interval: tuple[float, float] | None = None
