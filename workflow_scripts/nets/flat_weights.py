"""A network's weights beside each other in one tensor, so that an update is a few operations instead of hundreds."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from workflow_scripts.nets.precision import product_layers

# Each weight starts at a multiple of so many entries: 64 bytes in bfloat16, which is what fast kernels ask for.
ALIGNMENT = 32


class FlatWeights:
    """The parameters of `network`, moved into one tensor: they are views of `values` [P] from now on, `values.grad` is set.

    They keep their memory formats; what lies between two of them is zero and has no gradient. All have one dtype and lie
    on one device. The network must not be moved or cast afterwards, since that gives it parameters of its own.
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
        """For each parameter the part of `flat` [P] that lies where its values lie in `values`, in its shape."""
        return [
            flat.as_strided(parameter.shape, parameter.stride(), start)
            for parameter, start in zip(self._parameters, self._starts)
        ]

    def set_gradient(self, gradients: Sequence[Tensor]) -> None:
        """Make `values.grad` the gradients of the parameters, in their order, which may be of another dtype."""
        # Tensors of one dtype are copied by one kernel on a GPU.
        for dtype in {gradient.dtype: None for gradient in gradients}:
            pairs = [pair for pair in zip(self._gradients, gradients) if pair[1].dtype == dtype]
            torch._foreach_copy_(*map(list, zip(*pairs)))


class CastWeights:
    """A twin of a network that computes its products and convolutions from bfloat16 copies of its weights.

    All else (norms, buffers) it shares with that network. `renew` copies the weights, all at once; the gradients of the
    twin's parameters, which are in the network's order, are those that torch's autocast would have given, before their cast.
    """

    def __init__(self, weights: FlatWeights):
        network, self._weights = weights.network, weights
        cast = {
            id(parameter)
            for layer in product_layers(network)
            for parameter in layer.parameters(recurse=False)
        }
        shared = {
            id(tensor): tensor
            for tensor in (*network.parameters(), *network.buffers())
            if id(tensor) not in cast
        }
        self.network = copy.deepcopy(network, shared)
        self._values = torch.empty_like(weights.values, dtype=torch.bfloat16, requires_grad=False)
        for parameter, view in zip(self.network.parameters(), weights.views(self._values)):
            if id(parameter) not in shared:
                parameter.data = view

    def renew(self) -> None:
        self._values.copy_(self._weights.values.detach())
