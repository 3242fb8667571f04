"""How far a training's loss is from falling all the way."""

from __future__ import annotations

import numpy as np

ROWS = {"excess_total_variation": {"better": "lower"}}
NUM_WINDOWS = 10


def excess_total_variation(log: dict[str, np.ndarray]) -> float:
    """The sum of |changes| of the loss over its net fall, minus 1, of its means over ten equal windows.

    0 for a loss that only falls. A loss that does not fall has no such number: nan.
    """
    means = np.array([part.mean() for part in np.array_split(log["loss"], NUM_WINDOWS)])
    fall = means[0] - means[-1]
    return float(np.abs(np.diff(means)).sum() / fall - 1) if fall > 0 else float("nan")
