"""The training log: means over windows of steps, and the check for a diverged run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from workflow_scripts.core.errors import NotFiniteError


class DivergedError(NotFiniteError):
    """A value to be logged of update number `step` is NaN or infinite."""

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


class TrainingLog:
    """Rows `(step, *values)`: means over the `every` steps that end with `step`. `names` are the values'.

    Values stay on the device until a window is full, so a GPU need not wait at every step.
    """

    def __init__(self, every: int, names: Sequence[str]):
        self.every, self.names = every, tuple(names)
        self.rows: list[tuple[float, ...]] = []
        self._waiting: list[torch.Tensor] = []
        self._window: list[tuple[float, ...]] = []

    def add(self, step: int, values: torch.Tensor) -> None:
        """Add a copy of the values [len(names)] of update number `step`, counted from 1.

        DivergedError when it fills a window that holds a value that is not finite.
        """
        self._waiting.append(values.clone())
        if step % self.every == 0:
            self.close_window(step)

    def check(self, step: int) -> None:
        """Fetch the values up to update number `step`; DivergedError naming the first that is not finite."""
        if not self._waiting:
            return
        fetched = torch.stack(self._waiting).tolist()
        self._waiting.clear()
        for number, values in enumerate(fetched, start=step - len(fetched) + 1):
            self._window.append((number, *values))
            if not all(map(math.isfinite, values)):
                said = ", ".join(f"{name} {value}" for name, value in zip(self.names, values))
                raise DivergedError(f"step {number}: {said}", number)

    def close_window(self, step: int) -> None:
        """Add the row of the window that ends with update number `step`, shorter than others or empty."""
        self.check(step)
        if self._window:
            means = np.mean([values[1:] for values in self._window], axis=0)
            self.rows.append((step, *means.tolist()))
            self._window.clear()

    def state_dict(self) -> dict[str, Any]:
        """All rows and the unfinished window, as fetched by the last `check`."""
        return {"rows": list(self.rows), "window": list(self._window)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with a saved log; a window cut in two gives the same means as a whole one."""
        self.rows = [tuple(row) for row in state["rows"]]
        self._window = [tuple(values) for values in state["window"]]
        self._waiting.clear()

    def rows_until_failure(self) -> list[tuple[float, ...]]:
        """The rows, then the steps of the unfinished window one by one, the failing one last."""
        return self.rows + self._window
