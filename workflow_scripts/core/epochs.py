"""Means over epochs of a value that a training logs every few steps."""

from __future__ import annotations

import numpy as np


def epoch_means(steps: np.ndarray, values: np.ndarray, steps_per_epoch: float) -> np.ndarray:
    """Means over whole epochs, f64 [epochs], of values [rows] that are means over the steps up to each of
    `steps` from the one before; none if a window is longer than an epoch.

    An epoch that ends within a window gets its share of it.
    """
    finite = np.isfinite(values)
    count = len(values) if finite.all() else int(finite.argmin())
    edges, values = np.concatenate(([0.0], steps[:count])), values[:count]
    if not count or np.diff(edges).max() > steps_per_epoch:
        return np.empty(0)
    sums = np.concatenate(([0.0], np.cumsum(values * np.diff(edges))))
    # a millionth of a step for the division's rounding
    ends = np.arange(int((edges[-1] + 1e-6) / steps_per_epoch) + 1) * steps_per_epoch
    return np.diff(np.interp(ends, edges, sums)) / steps_per_epoch
