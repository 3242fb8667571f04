"""Hessian-vector products, trace and top eigenvalue against explicit Hessians and PyHessian."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from pyhessian import hessian as PyHessian
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from workflow_scripts.curvature.hessian import HessianVectorProduct, hutchinson_trace, top_eigenvalue
from workflow_scripts.curvature.quadratic_form import QuadraticForm


def tiny_problem(dtype=torch.float64):
    """A small network with a loss whose Hessian has both signs, and that loss's data."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)
    x, y = (torch.randn(9, size, generator=generator, dtype=dtype) for size in (4, 3))
    return network, x, y


def explicit_hessian(network, loss_of_output, x):
    """The whole matrix, by torch's own `hessian` of a function of one flat vector."""
    names, parameters = zip(*network.named_parameters())
    sizes = [parameter.numel() for parameter in parameters]

    def loss(flat):
        parts = [part.view_as(like) for part, like in zip(flat.split(sizes), parameters)]
        return loss_of_output(functional_call(network, dict(zip(names, parts)), (x,)))

    flat = torch.cat([parameter.detach().flatten() for parameter in parameters])
    return torch.autograd.functional.hessian(loss, flat)


def rademacher(count, dim, seed, dtype=torch.float64):
    bits = torch.randint(0, 2, (count, dim), generator=torch.Generator().manual_seed(seed))
    return (2 * bits - 1).to(dtype)


def test_products_and_top_eigenvalue_equal_the_explicit_hessians():
    network, x, y = tiny_problem()
    matrix = explicit_hessian(network, lambda output: functional.mse_loss(output, y), x)
    product = HessianVectorProduct(lambda: functional.mse_loss(network(x), y), list(network.parameters()))
    assert len(matrix) == 51
    columns = torch.stack([product(unit) for unit in torch.eye(51, dtype=torch.float64)], dim=1)
    torch.testing.assert_close(columns, matrix, rtol=1e-10, atol=1e-12)
    eigenvalues = np.linalg.eigvalsh(matrix.numpy())
    found = top_eigenvalue(product, rademacher(1, 51, 0)[0], 500, tolerance=1e-12)
    # The error is at most the last change over (1 - ratio of the two largest eigenvalues squared): 1e-9 is
    # ample.
    assert found.converged
    assert found.value == pytest.approx(eigenvalues[np.abs(eigenvalues).argmax()], rel=1e-9)


def test_all_sign_vectors_give_the_exact_trace_and_spread():
    # Over all 2^P Rademacher vectors the mean is tr(H) and the variance 2 sum_{i != j} H_ij^2.
    matrix = torch.tensor([[2.0, -1.0, 0.5], [-1.0, 3.0, 0.25], [0.5, 0.25, -4.0]], dtype=torch.float64)
    probes = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=torch.float64)
    estimate = hutchinson_trace(lambda vector: (vector @ matrix @ vector).item(), probes)
    variance = 2 * (matrix.square().sum() - matrix.diagonal().square().sum()).item()
    assert estimate.value == pytest.approx(1.0, rel=1e-12)
    assert estimate.stderr == pytest.approx(math.sqrt(variance / (8 - 1)), rel=1e-12)  # sample variance
    with pytest.raises(ValueError, match="at least 2 probes"):
        hutchinson_trace(lambda vector: 1.0, probes[:1])


def test_power_iteration_keeps_the_sign_and_tells_whether_it_converged():
    matrix = torch.diag(torch.tensor([3.0, 1.0, -5.0], dtype=torch.float64))
    start = torch.ones(3, dtype=torch.float64)
    found = top_eigenvalue(matrix.mv, start, 200, tolerance=1e-12)
    assert found.value == pytest.approx(-5.0, rel=1e-9) and found.converged
    calls = []
    found = top_eigenvalue(lambda vector: calls.append(vector) or matrix @ vector, start, 3, tolerance=1e-9)
    assert (found.converged, found.iterations, len(calls)) == (False, 3, 3)
    assert top_eigenvalue(torch.zeros(3, 3).mv, torch.ones(3), 5)[::2] == (0.0, True)


# PyHessian keeps its graph alive in .grad, which torch warns of.
@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")
def test_trace_equals_pyhessians_on_the_same_probes(monkeypatch):
    network, x, y = tiny_problem(torch.float32)
    theirs = PyHessian(network, nn.MSELoss(), data=(x, y), cuda=False)
    parameters = list(network.parameters())
    probes = rademacher(16, 51, 7, torch.float32)
    sizes = [parameter.numel() for parameter in parameters]
    bits = iter([(part + 1) / 2 for probe in probes for part in probe.split(sizes)])
    monkeypatch.setattr(torch, "randint_like", lambda like, high, device: next(bits).view_as(like))
    terms = theirs.trace(maxIter=16, tol=-math.inf)  # it would stop early at any tolerance
    assert len(terms) == 16
    estimate = hutchinson_trace(QuadraticForm(lambda: functional.mse_loss(network(x), y), parameters), probes)
    # float32 on both sides, summed in another order.
    assert estimate.value == pytest.approx(np.mean(terms), rel=1e-5)
    assert estimate.stderr == pytest.approx(np.std(terms, ddof=1) / 4, rel=1e-4)
