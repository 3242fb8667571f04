"""The exponential moving average of a network's weights, which is what samples are drawn with."""

from __future__ import annotations

import copy

import torch
from torch import nn


class ExponentialMovingAverage:
    """`average = decay * average + (1 - decay) * weights` after every update; starts at the initial weights.

    Neither warm-up nor bias correction: after k updates the initial weights still have a share of decay**k, so the
    training should last several times 1 / (1 - decay) updates. Buffers are copied, not averaged.
    """

    def __init__(self, model: nn.Module, decay: float):
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"ema_decay must be in [0, 1), got {decay}")
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self._averages = list(self.model.parameters())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the weights of `model`, which must be the network it was made from."""
        torch._foreach_lerp_(self._averages, list(model.parameters()), 1.0 - self.decay)
        for kept, current in zip(self.model.buffers(), model.buffers()):
            kept.copy_(current)
