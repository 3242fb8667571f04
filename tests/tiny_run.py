"""The settings of a training run that takes seconds, and images for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from workflow_scripts.nets.unet import build_model

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
SETTINGS: dict[str, Any] = {
    "arm": "E1_test",
    "seed": 5,
    "data": {"image_size": 8, "channels": 1},
    "model": {
        "name": "unet_digits8",
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
