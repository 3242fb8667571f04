"""The training log: means over windows of steps, and the check for a diverged run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from workflow_scripts.core.errors import NotFiniteError


class DivergedError(NotFiniteError):
    """The loss or the gradient norm of update number `step` is NaN or infinite."""

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


class TrainingLog:
    """Rows `(step, loss, mse, grad_norm)`: means over the `every` steps that end with `step`.

    Values stay on the device until a window is full, so a GPU need not wait at every step.
    """

    COLUMNS = ("step", "loss", "mse", "grad_norm")

    def __init__(self, every: int):
        self.every = every
        self.rows: list[tuple[int, float, float, float]] = []
        self._waiting: list[torch.Tensor] = []
        self._window: list[tuple[int, float, float, float]] = []

    def add(self, step: int, values: torch.Tensor) -> None:
        """Add a copy of (loss, mse, grad_norm) of update number `step`, counted from 1.

        DivergedError when it fills a window that holds a value that is not finite.
        """
        self._waiting.append(values.clone())
        if step % self.every == 0:
            self.close_window(step)

    def check(self, step: int) -> None:
        """Fetch the values up to update number `step`; DivergedError naming the first that is not finite."""
        if not self._waiting:
            return
        values = torch.stack(self._waiting).tolist()
        self._waiting.clear()
        for number, (loss, mse, grad_norm) in enumerate(values, start=step - len(values) + 1):
            self._window.append((number, loss, mse, grad_norm))
            if not (math.isfinite(loss) and math.isfinite(mse) and math.isfinite(grad_norm)):
                values = f"loss {loss}, mse {mse}, gradient norm {grad_norm}"
                raise DivergedError(f"step {number}: {values}", number)

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

    def rows_until_failure(self) -> list[tuple[int, float, float, float]]:
        """The rows, then the steps of the unfinished window one by one, the failing one last."""
        return self.rows + self._window
