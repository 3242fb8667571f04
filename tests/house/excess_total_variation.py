"""How far a training's loss is from falling all the way."""

from __future__ import annotations

import numpy as np

from workflow_scripts.metrics.measures.training_smoothness import excess

ROWS = {"excess_total_variation": {"better": "lower"}}
NUM_WINDOWS = 10


def excess_total_variation(log: dict[str, np.ndarray]) -> float:
    """The sum of |changes| of the loss over its net fall, minus 1, of its means over ten equal windows.

    0 for a loss that only falls. A loss that does not fall has no such number: nan.
    """
    return excess(np.array([part.mean() for part in np.array_split(log["loss"], NUM_WINDOWS)]))
