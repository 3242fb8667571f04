"""A training run that takes seconds: its settings, images and network, and what tests do with it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from workflow_scripts.nets.build import build_model
from workflow_scripts.training.log import TrainingLog
from workflow_scripts.training.loop import train
from workflow_scripts.training.step import TrainingState, initial_state

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
SETTINGS: dict[str, Any] = {
    "arm": "E1_test",
    "seed": 5,
    "data": {"image_size": 8, "channels": 1, "num_classes": 10},
    "method": {"name": "diffusion"},
    "model": {
        "name": "unet",
        "base_channels": 8,
        "channel_mults": [1, 2],
        "num_res_blocks": 1,
        "attention_resolutions": [4],
        "dropout": 0.3,
        "norm_groups": 4,
    },
    "diffusion": {
        "schedule": "linear",
        "num_timesteps": 50,
        "beta_start": 1e-3,
        "beta_end": 0.2,
        "prediction_type": "eps",
    },
    "loss": {"weighting": "min_snr", "min_snr_gamma": 5.0},
    "training": {
        "num_steps": 12,
        "batch_size": 6,
        "learning_rate": 1e-3,
        "grad_clip_norm": 0.5,
        "ema_decay": 0.9,
        "checkpoint_steps": [12],
        "log_every": 4,
        "precision": "fp32",
    },
}


def tiny_settings(**changes: Any) -> dict[str, Any]:
    """SETTINGS with sections updated, `training={"precision": "bf16"}`, or values replaced, `seed=6`."""
    return SETTINGS | {
        name: SETTINGS[name] | value if isinstance(value, dict) else value for name, value in changes.items()
    }


def tiny_network() -> nn.Module:
    """The network of SETTINGS in evaluation mode, all weights random: untrained, its output is zero."""
    torch.manual_seed(0)
    network = build_model(SETTINGS["model"], 1, 8).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


def trained(
    settings: dict[str, Any],
    until: int,
    state: TrainingState | None = None,
    every: int = 1,
    images: np.ndarray = IMAGES,
    device: str = "cpu",
) -> tuple[TrainingState, list[tuple]]:
    """Train from `state`, or from the beginning; return the state and the rows of the log."""
    state = state or initial_state(settings, torch.device(device))
    log = TrainingLog(every, state.method.columns)
    train(state, {"images": images, "labels": np.arange(len(images)) % 10}, settings, log, until)
    return state, log.rows


def bytes_of(state: TrainingState) -> list[bytes]:
    """Of every tensor: weights, EMA, Adam's moments and its count of steps."""
    values = [value for value in tree_leaves(state.state_dict()) if isinstance(value, torch.Tensor)]
    assert len(values) == 2 * len(list(state.model.parameters())) + 3 or len(state.trained) > 1
    return [value.cpu().numpy().tobytes() for value in values]


def saved_and_loaded(state: TrainingState, settings: dict[str, Any], device: str = "cpu") -> TrainingState:
    """The state after a trip through a file, in a run that began with another seed."""
    buffer = io.BytesIO()
    torch.save(state.state_dict(), buffer)
    buffer.seek(0)
    other = initial_state({**settings, "seed": 6}, torch.device(device))
    other.method = state.method
    other.load_state_dict(torch.load(buffer, weights_only=True, map_location=device))
    return other
