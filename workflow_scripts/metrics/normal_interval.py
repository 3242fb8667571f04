"""A 95 % interval from an estimate and its standard error."""

from __future__ import annotations

NORMAL_QUANTILE = 1.959964  # of 97.5 %


def normal_interval(value: float, stderr: float) -> tuple[float, float]:
    """`value` ± 1.96 `stderr`: covers in 95 of 100 cases where the estimate is unbiased and near enough to normal."""
    return value - NORMAL_QUANTILE * stderr, value + NORMAL_QUANTILE * stderr
