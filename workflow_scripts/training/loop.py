"""The training loop: what changes from step to step is in TrainingState, all else follows from (seed, step)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from workflow_scripts.common.progress import Progress
from workflow_scripts.common.randomness import torch_seed
from workflow_scripts.diffusion.objective import weighted_mse
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.diffusion.weighting import loss_weights
from workflow_scripts.models.ema import ExponentialMovingAverage
from workflow_scripts.models.precision import in_precision, place
from workflow_scripts.models.registry import build_model
from workflow_scripts.training.batches import Batches
from workflow_scripts.training.log import DivergedError, TrainingLog


@dataclass
class TrainingState:
    """All that one step hands to the next; `step` counts the updates done."""

    model: nn.Module
    ema: ExponentialMovingAverage
    optimizer: torch.optim.Optimizer
    step: int = 0

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on exactly here; safe for torch.load with weights_only."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved state of a run with the same settings."""
        self.model.load_state_dict(state["model"])
        self.ema.model.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def initial_state(settings: Mapping[str, Any], device: torch.device) -> TrainingState:
    """The state before the first step; arms with the same model settings and seed start with the same weights."""
    torch.manual_seed(torch_seed(settings["seed"], "init"))
    training = settings["training"]
    model = build_model(settings["model"], settings["data"]["channels"], settings["data"]["image_size"])
    model = place(model, device, training["memory_format"])
    return TrainingState(
        model=model,
        ema=ExponentialMovingAverage(model, training["ema_decay"]),
        optimizer=torch.optim.Adam(model.parameters(), lr=training["learning_rate"], fused=True),
    )


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
) -> None:
    """Train on images u8 `[N, H, W, C]` from `state.step` until `until` updates are done; changes `state` and `log`.

    One update is Ho et al. 2020, algorithm 1, on a batch: the gradient of the weighted loss, clipped to
    `training.grad_clip_norm` (the log has its norm before), Adam, EMA. `on_checkpoint` is called after each of
    `checkpoint_steps`, `on_step` after every update, last of all; it may raise to end the training there. DivergedError,
    naming arm, seed and step, when a loss or gradient norm is not finite; no checkpoint is offered from that step on.
    """
    seed, training = settings["seed"], settings["training"]
    device = next(state.model.parameters()).device
    diffusion = GaussianDiffusion.from_settings(settings["diffusion"])
    weights = torch.from_numpy(
        loss_weights(
            diffusion.snr.numpy(),
            diffusion.prediction_type,
            settings["loss"]["weighting"],
            settings["loss"]["min_snr_gamma"],
        )
    ).to(device)
    diffusion = diffusion.to(device)
    batches = Batches(images, seed, training["batch_size"], diffusion.num_timesteps, device)
    network = in_precision(state.model, training["precision"], training["memory_format"])
    parameters = list(state.model.parameters())
    has_dropout = settings["model"]["dropout"] > 0

    state.model.train()
    try:
        while state.step < until:
            if has_dropout:
                torch.manual_seed(torch_seed(seed, "dropout", state.step))
            x_start, t, noise = batches.draw(state.step)
            loss, mse = weighted_mse(network, diffusion, weights, x_start, t, noise)
            state.optimizer.zero_grad()
            loss.backward()
            grad_norm = nn.utils.clip_grad_norm_(parameters, training["grad_clip_norm"])
            state.optimizer.step()
            state.ema.update(state.model)
            state.step += 1
            log.add(state.step, loss, mse, grad_norm)
            if state.step in checkpoint_steps:
                log.check(state.step)
                on_checkpoint(state)
            if progress is not None:
                progress.update(state.step, f"loss {log.rows[-1][1]:.4f}" if log.rows else "")
            on_step(state)
        log.finish(state.step)
    except DivergedError as error:
        raise DivergedError(
            f"training of {settings['arm']}, seed {seed}, diverged at {error}; "
            "lower training.learning_rate or look at the loss weights"
        ) from error
