"""The training loop, and one process's session of it: resume, save now and then, stop on a signal.

Everything that changes from step to step is in TrainingState; all else follows from (seed, step).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from workflow_scripts.core.errors import PipelineError, Stopped, StopSignals
from workflow_scripts.core.progress import Progress
from workflow_scripts.training.checkpoints import save_checkpoint
from workflow_scripts.training.log import DivergedError, TrainingLog
from workflow_scripts.training.saved_run import SavedRun
from workflow_scripts.training.step import TrainingState, TrainingStep

# The largest share of the time that saving may take, however slow the disk and short the interval.
MAX_SAVING_SHARE = 0.01


def train(
    state: TrainingState,
    data: Mapping[str, np.ndarray],
    settings: Mapping[str, Any],
    log: TrainingLog,
    until: int,
    checkpoint_steps: tuple[int, ...] = (),
    on_checkpoint: Callable[[TrainingState], None] = lambda state: None,
    on_step: Callable[[TrainingState], None] = lambda state: None,
    progress: Progress | None = None,
) -> None:
    """Train on arrays by name (`images` u8 `[N, H, W, C]`, …) until `until` updates are done.

    Changes `state` and `log`. Calls `on_checkpoint` after each of `checkpoint_steps`, and `on_step` last
    after every update; either may raise to end the training there. DivergedError, naming arm, seed and step,
    when a value to be logged is not finite; no checkpoint is offered from that step on.
    """
    for trained in state.trained.values():
        trained.network.train()
    step = TrainingStep(state, data, settings)
    try:
        while state.step < until:
            step.run()
            log.add(state.step, step.values)
            if state.step in checkpoint_steps:
                log.check(state.step)
                on_checkpoint(state)
            if progress is not None:
                progress.update(state.step, f"loss {log.rows[-1][1]:.4f}" if log.rows else "")
            on_step(state)
        log.close_window(state.step)
    except DivergedError as error:
        raise DivergedError(
            f"training of {settings['arm']}, seed {settings['seed']}, diverged at {error}; "
            "lower training.learning_rate or look at the loss weights",
            error.step,
        ) from error


class Session:
    """Restores `state` and `log` from `saved`, and saves them every `every_s` seconds and on a signal.

    When it saves changes no byte of the results. `wall_s` counts the seconds of all sessions, except those
    lost with a killed process.
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
        self.settings, self.state, self.log = settings, state, log
        self.saved, self.every_s, self.stop = saved, every_s, stop
        self._earlier_s, self._started = 0.0, time.monotonic()
        self._saved_step, self._next_save = 0, self._started + every_s

    @property
    def wall_s(self) -> float:
        return self._earlier_s + time.monotonic() - self._started

    def resume(self) -> int:
        """Go to the newest saved state; return its step, 0 when there is none."""
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
        """Save when it is due. After a signal, save at once and raise Stopped.

        A state that cannot be saved (a full disk) is reported and training goes on, unless it has to stop:
        then it is a PipelineError. DivergedError instead of saving a state that is not finite.
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
        self._next_save = ended + max(self.every_s, (ended - started) / MAX_SAVING_SHARE)

    def _save(self) -> None:
        content = {"state": self.state.state_dict(), "log": self.log.state_dict(), "wall_s": self.wall_s}
        self.saved.save(self.state.step, content)
        self._saved_step = self.state.step
