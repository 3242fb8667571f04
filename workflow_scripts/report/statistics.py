"""Means and intervals over seeds, as the figures and tables show them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workflow_scripts.study import rule


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Arithmetic mean and sample standard deviation (n - 1); None instead of a deviation of one value."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean and two-sided Student t interval over values; low and high are NaN for fewer than two values."""
    if len(values) < 2:
        return float(np.mean(values)), float("nan"), float("nan")
    return tuple(float(value) for value in rule.t_interval(np.asarray(values, dtype=np.float64), confidence))


def geometric_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Geometric mean and t interval of the logarithms, for positive values on a log axis."""
    return tuple(float(np.exp(value)) for value in t_interval(np.log(values), confidence))
