"""The learning rate at each step, as a share of `training.learning_rate`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def learning_rate_factor(training: Mapping[str, Any], step: int) -> float | None:
    """The factor in [0, 1] of the update that follows `step` updates; None if it is always 1.

    `training.lr_schedule` `cosine` falls from 1 to 0 over `num_steps` (Loshchilov and Hutter 2017, eq. 5,
    without restarts); `constant` is the default.
    """
    schedule = training.get("lr_schedule", "constant")
    if schedule == "constant":
        return None
    if schedule == "cosine":
        return (1 + math.cos(math.pi * step / training["num_steps"])) / 2
    raise ValueError(f"training.lr_schedule is {schedule!r}; known are constant, cosine")
