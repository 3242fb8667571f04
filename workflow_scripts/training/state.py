"""What one training step hands to the next, and what it is before the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workflow_scripts.core.randomness import torch_seed
from workflow_scripts.nets.ema import ExponentialMovingAverage
from workflow_scripts.nets.flat_weights import FlatWeights
from workflow_scripts.nets.precision import place
from workflow_scripts.nets.registry import build_model


@dataclass
class TrainingState:
    """All that one step hands to the next; `step` counts the updates done."""

    weights: FlatWeights
    ema: ExponentialMovingAverage
    optimizer: torch.optim.Optimizer
    step: int = 0

    @property
    def model(self) -> nn.Module:
        """The network that is trained, whose parameters are the weights."""
        return self.weights.network

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
    model = build_model(settings["model"], settings["data"]["channels"], settings["data"]["image_size"])
    layout = settings["training"].get("memory_format", "contiguous")
    return state_of(place(model, device, layout), settings["training"], device)


def state_of(model: nn.Module, training: Mapping[str, Any], device: torch.device) -> TrainingState:
    """The state before the first step of training `model`, which lies on `device`; its parameters become views."""
    weights = FlatWeights(model)
    return TrainingState(
        weights=weights,
        ema=ExponentialMovingAverage(weights, training["ema_decay"]),
        # capturable: its count of steps is a tensor, so that a recorded step goes on counting
        optimizer=torch.optim.Adam(
            [weights.values], lr=training["learning_rate"], fused=True, capturable=device.type == "cuda"
        ),
    )
