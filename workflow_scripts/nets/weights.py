"""A network's weights in one flat tensor, and their exponential moving average.

One tensor instead of hundreds of parameters makes clipping, Adam and the average a few operations. torch's
AveragedModel does not fit: it starts at the weights after the first update, and reads its counter on the
host, which a CUDA graph cannot record. Plain parameters with fused Adam cost the same time but sum the
gradient's norm in another order, which would change the last bits of every result.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Each parameter starts at a multiple of this many entries, a cache line or more, which fast kernels need.
ALIGNMENT = 32


class FlatWeights:
    """Moves the parameters of `network` into one tensor `values` [P], of which they become views.

    The gaps between two parameters hold zeros and get no gradient. All parameters must share one dtype and
    device. Moving or casting the network afterwards would give it new parameters, so don't.
    """

    def __init__(self, network: nn.Module):
        self.network = network
        self._parameters = list(network.parameters())
        first = self._parameters[0]
        sizes = [-(-parameter.numel() // ALIGNMENT) * ALIGNMENT for parameter in self._parameters]
        self._starts = [sum(sizes[:number]) for number in range(len(sizes))]
        self.values = nn.Parameter(torch.zeros(sum(sizes), dtype=first.dtype, device=first.device))
        for parameter, view in zip(self._parameters, self.views(self.values.detach())):
            parameter.data = view.copy_(parameter.detach())
        self.values.grad = torch.zeros_like(self.values)
        self._gradients = self.views(self.values.grad)

    def views(self, flat: Tensor) -> list[Tensor]:
        """The part of `flat` [P] that belongs to each parameter, in its shape."""
        return [
            flat[start : start + parameter.numel()].view(parameter.shape)
            for parameter, start in zip(self._parameters, self._starts)
        ]

    def set_gradient(self, gradients: Sequence[Tensor]) -> None:
        """Copy the parameters' gradients, in their order, into `values.grad`."""
        torch._foreach_copy_(self._gradients, list(gradients))


class ExponentialMovingAverage:
    """`average = decay * average + (1 - decay) * weights` after every update, with decay in [0, 1).

    It starts at the initial weights. There is no warm-up and no bias correction: after k updates the initial
    weights still have a share of decay**k, so train for several times 1 / (1 - decay) updates.
    Buffers are copied, not averaged.
    """

    def __init__(self, weights: FlatWeights, decay: float):
        self.decay = decay
        self.model = copy.deepcopy(weights.network).eval()
        self._weights, self._average = weights, FlatWeights(self.model).values.detach()
        self.model.requires_grad_(False)
        # Collected once: searching for them takes as long as an update.
        self._buffers = list(zip(self.model.buffers(), weights.network.buffers()))

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the current weights."""
        self._average.lerp_(self._weights.values, 1.0 - self.decay)
        for kept, current in self._buffers:
            kept.copy_(current)
