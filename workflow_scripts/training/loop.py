"""The training loop: what changes from step to step is in TrainingState, all else follows from (seed, step)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from workflow_scripts.core.capture import Graphs
from workflow_scripts.core.progress import Progress
from workflow_scripts.training.log import DivergedError, TrainingLog
from workflow_scripts.training.state import TrainingState
from workflow_scripts.training.step import TrainingStep


def train(
    state: TrainingState,
    images: np.ndarray,
    settings: Mapping[str, Any],
    log: TrainingLog,
    until: int,
    checkpoint_steps: tuple[int, ...] = (),
    on_checkpoint: Callable[[TrainingState], None] = lambda state: None,
    progress: Progress | None = None,
    on_step: Callable[[TrainingState], None] = lambda state: None,
    graphs: Graphs | None = None,
) -> None:
    """Train on images u8 `[N, H, W, C]` from `state.step` until `until` updates are done; changes `state` and `log`.

    `training/step.py` says what an update is. `on_checkpoint` is called after each of `checkpoint_steps`, `on_step` after
    every update, last of all; it may raise to end the training there. `graphs` stands for a GPU's way of recording a step.
    DivergedError, naming arm, seed and step, when a loss or gradient norm is not finite; no checkpoint is offered from that
    step on.
    """
    state.model.train()
    step = TrainingStep(state, images, settings, graphs)
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
        log.finish(state.step)
    except DivergedError as error:
        raise DivergedError(
            f"training of {settings['arm']}, seed {settings['seed']}, diverged at {error}; "
            "lower training.learning_rate or look at the loss weights"
        ) from error
