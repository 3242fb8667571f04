"""The exponential moving average of a network's weights, which is what samples are drawn with."""

from __future__ import annotations

import copy

import torch

from workflow_scripts.nets.flat_weights import FlatWeights


class ExponentialMovingAverage:
    """`average = decay * average + (1 - decay) * weights` after every update; starts at the initial weights.

    Neither warm-up nor bias correction: after k updates the initial weights still have a share of decay**k, so the
    training should last several times 1 / (1 - decay) updates. Buffers are copied, not averaged; the network must not get
    others in their place.
    """

    def __init__(self, weights: FlatWeights, decay: float):
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"ema_decay must be in [0, 1), got {decay}")
        self.decay = decay
        self.model = copy.deepcopy(weights.network).eval()
        self._weights, self._average = weights, FlatWeights(self.model).values.detach()
        self.model.requires_grad_(False)
        # Kept, since to look for them takes as long as an average does.
        self._buffers = list(zip(self.model.buffers(), weights.network.buffers()))

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the weights."""
        self._average.lerp_(self._weights.values, 1.0 - self.decay)
        for kept, current in self._buffers:
            kept.copy_(current)
