"""The top eigenvalue of a symmetric matrix that is only known by its products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# Relative change of the Rayleigh quotient between two iterations at which it counts as converged (PyHessian's default).
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Eigenvalue:
    """An eigenvalue, how many products it took, and whether the last two agreed within the tolerance."""

    value: float
    iterations: int
    converged: bool


def top_eigenvalue(
    product: Callable[[Tensor], Tensor], start: Tensor, max_iterations: int, tolerance: float = TOLERANCE
) -> Eigenvalue:
    """The eigenvalue of largest magnitude, with its sign, by power iteration from `start` [P].

    It stops when two successive Rayleigh quotients differ by at most `tolerance`, relative to the later one, or after
    `max_iterations` products. The true error can exceed the tolerance when the next eigenvalue is close. A matrix whose
    product with the iterate vanishes has the value 0. Golub and Van Loan, "Matrix Computations", section 8.2.1.
    """
    vector, previous = start / start.norm(), float("inf")
    value = previous
    for iteration in range(1, max_iterations + 1):
        image = product(vector)
        value, norm = torch.dot(vector.double(), image.double()).item(), image.norm()
        if norm == 0 or abs(value - previous) <= tolerance * abs(value):
            return Eigenvalue(value, iteration, True)
        vector, previous = image / norm, value
    return Eigenvalue(value, max_iterations, False)
