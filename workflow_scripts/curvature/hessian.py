"""A loss's Hessian, without forming the matrix: products with vectors, trace and top eigenvalue."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class HessianVectorProduct:
    """`product(vector [P]) -> H vector [P]`, with H the Hessian of `loss()` in all P entries of `parameters`.

    Pearlmutter 1994, "Fast exact multiplication by the Hessian". The graph of the first derivatives is built
    once, and each product is one reverse pass through it. Parameters on which the loss does not depend have
    zero rows. ValueError when the loss is not a scalar.
    """

    def __init__(self, loss: Callable[[], Tensor], parameters: Sequence[Tensor]):
        self.parameters = list(parameters)
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


class TraceEstimate(NamedTuple):
    """A trace and its standard error from the spread of the probes."""

    value: float
    stderr: float


def hutchinson_trace(quadratic_form: Callable[[Tensor], float], probes: Iterable[Tensor]) -> TraceEstimate:
    """Estimate tr(H) as the mean of `quadratic_form(v)` = v^T H v over at least two probe vectors [P].

    Hutchinson 1990, "A stochastic estimator of the trace". The entries of a probe are independent, of mean 0
    and variance 1. With Rademacher probes and a symmetric H, one term has the variance 2 sum_{i != j} H_ij^2.
    """
    terms = torch.tensor([quadratic_form(probe) for probe in probes], dtype=torch.float64)
    if len(terms) < 2:
        raise ValueError(f"a trace with a standard error needs at least 2 probes, got {len(terms)}")
    return TraceEstimate(terms.mean().item(), terms.std().item() / math.sqrt(len(terms)))


class Eigenvalue(NamedTuple):
    """An eigenvalue, the number of products it took, and whether it converged."""

    value: float
    iterations: int
    converged: bool


def top_eigenvalue(
    product: Callable[[Tensor], Tensor], start: Tensor, max_iterations: int, tolerance: float = 1e-3
) -> Eigenvalue:
    """Find the eigenvalue of largest magnitude, with its sign, by power iteration from `start` [P].

    Golub and Van Loan, "Matrix Computations", section 8.2.1. The iteration has converged when two successive
    Rayleigh quotients differ by at most `tolerance` (its default is PyHessian's), relative to the later one;
    the error can be larger where the next eigenvalue is close. The value is 0 when the product with the
    current vector vanishes.
    """
    vector, value = start / start.norm(), math.inf
    for iteration in range(1, max_iterations + 1):
        previous, image = value, product(vector)
        value, norm = torch.dot(vector.double(), image.double()).item(), image.norm()
        if norm == 0 or abs(value - previous) <= tolerance * abs(value):
            return Eigenvalue(value, iteration, True)
        vector = image / norm
    return Eigenvalue(value, max_iterations, False)
