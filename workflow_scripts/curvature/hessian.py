"""Products of a loss's Hessian with vectors, without the Hessian."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel


class HessianVectorProduct:
    """`product(vector [P]) -> H vector [P]`, H the Hessian of `loss()` in all P entries of `parameters`, in that order.

    Products without the matrix are Pearlmutter's (1994); here the graph of the first derivatives is built once and
    shared, and each product is one reverse pass through it. `loss` is called once, so that all products belong to one
    function. Parameters that it does not depend on have zero rows. Raises ValueError when the loss is not a scalar.
    """

    def __init__(self, loss: Callable[[], Tensor], parameters: Sequence[Tensor]):
        self.parameters = list(parameters)
        self.num_parameters = sum(parameter.numel() for parameter in self.parameters)
        # The fused attention kernels have no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            value = loss()
        if value.ndim != 0:
            raise ValueError(f"the loss must be a scalar, got shape {list(value.shape)}")
        gradients = torch.autograd.grad(value, self.parameters, create_graph=True, materialize_grads=True)
        self._gradient = torch.cat([gradient.flatten() for gradient in gradients])

    def __call__(self, vector: Tensor) -> Tensor:
        products = torch.autograd.grad(
            self._gradient, self.parameters, grad_outputs=vector, retain_graph=True, materialize_grads=True
        )
        return torch.cat([product.flatten() for product in products])
