"""One process's share of a training run: it goes on where the last one stopped, and saves as it goes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from workflow_scripts.core.errors import PipelineError, Stopped, StopSignals
from workflow_scripts.training.checkpoints import save_checkpoint
from workflow_scripts.training.log import TrainingLog
from workflow_scripts.training.saved_run import SavedRun
from workflow_scripts.training.state import TrainingState

# Saving may take this share of the time at most, however slow the disk and however short the interval asked for.
MOST_OF_THE_TIME = 0.01


class Session:
    """Restores `state` and `log` from `saved`, and saves them: every `every_s` seconds and when a signal asks to stop.

    When it saves changes no byte of the results. `wall_s` counts the seconds of all sessions, less what was lost with
    a process that was killed.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        state: TrainingState,
        log: TrainingLog,
        saved: SavedRun,
        every_s: float,
        stop: StopSignals,
    ):
        self.settings = settings
        self.state, self.log, self.saved, self.every_s, self.stop = state, log, saved, every_s, stop
        self._earlier_s, self._started = 0.0, time.monotonic()
        self._saved_step, self._next_save = 0, self._started + every_s

    @property
    def wall_s(self) -> float:
        return self._earlier_s + time.monotonic() - self._started

    def resume(self) -> int:
        """Go to the newest saved state; returns the step, 0 when there is none."""
        content = self.saved.load()
        if content is not None:
            self.state.load_state_dict(content["state"])
            self.log.load_state_dict(content["log"])
            self._earlier_s = content["wall_s"]
        self._saved_step = self.state.step
        return self.state.step

    def on_checkpoint(self, state: TrainingState) -> None:
        """Keep a checkpoint; it becomes an output when the run is done."""
        save_checkpoint(
            self.saved.checkpoint_path(state.step),
            model=state.model.state_dict(),
            ema=state.ema.model.state_dict(),
            step=state.step,
            seed=self.settings["seed"],
            settings=self.settings,
        )

    def on_step(self, state: TrainingState) -> None:
        """Save when it is time. After a signal save at once and raise Stopped.

        A state that cannot be saved (a full disk) is said and does not end the training, which needs none; unless it has
        to stop: then that is a PipelineError. DivergedError when what would be saved is not finite.
        """
        started = time.monotonic()
        stopped_by = self.stop.received
        if stopped_by is None and started < self._next_save:
            return
        self.log.check(state.step)
        try:
            self._save()
        except PipelineError as error:
            if stopped_by is not None:
                raise PipelineError(
                    f"stopped, and step {state.step} is lost; step {self._saved_step} is saved: {error}"
                ) from error
            self.saved.say(f"training goes on without having saved step {state.step}: {error}")
        if stopped_by is not None:
            raise Stopped(stopped_by, f"step {state.step} is saved; the same command goes on from there")
        ended = time.monotonic()
        self._next_save = ended + max(self.every_s, (ended - started) / MOST_OF_THE_TIME)

    def _save(self) -> None:
        content = {"state": self.state.state_dict(), "log": self.log.state_dict(), "wall_s": self.wall_s}
        self.saved.save(self.state.step, content)
        self._saved_step = self.state.step
