"""The trace of a matrix that is only known by its quadratic form."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TraceEstimate:
    """A trace and the standard error that the probes' own spread gives it."""

    value: float
    stderr: float
    num_probes: int


def hutchinson_trace(quadratic_form: Callable[[Tensor], float], probes: Iterable[Tensor]) -> TraceEstimate:
    """Estimate tr(H) as the mean of v^T H v over `probes`, vectors [P] with independent entries of mean 0, variance 1.

    `quadratic_form(v)` is v^T H v.

    Hutchinson 1990, "A stochastic estimator of the trace". With Rademacher probes the variance of one term is
    2 sum_{i != j} H_ij^2, for symmetric H; the error reported is the sample's standard deviation over sqrt(num_probes).
    Raises ValueError below two probes.
    """
    terms = torch.tensor([quadratic_form(probe) for probe in probes], dtype=torch.float64)
    if len(terms) < 2:
        raise ValueError(f"a trace with a standard error needs at least 2 probes, got {len(terms)}")
    return TraceEstimate(terms.mean().item(), terms.std().item() / math.sqrt(len(terms)), len(terms))
