"""Hessian-vector products, trace and top eigenvalue against explicit Hessians and PyHessian, on tiny networks."""

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

from workflow_scripts.curvature.eigenvalue import top_eigenvalue
from workflow_scripts.curvature.hessian import HessianVectorProduct
from workflow_scripts.curvature.hutchinson import hutchinson_trace
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


def form_of(matrix):
    """v -> v^T M v."""
    return lambda vector: torch.dot(vector, matrix @ vector).item()


@pytest.fixture
def tiny():
    network, x, y = tiny_problem()
    matrix = explicit_hessian(network, lambda output: functional.mse_loss(output, y), x)
    product = HessianVectorProduct(lambda: functional.mse_loss(network(x), y), list(network.parameters()))
    return matrix, product


def test_products_equal_the_explicit_hessian(tiny):
    matrix, product = tiny
    assert product.num_parameters == len(matrix) == 51
    columns = torch.stack([product(unit) for unit in torch.eye(51, dtype=torch.float64)], dim=1)
    torch.testing.assert_close(columns, matrix, rtol=1e-10, atol=1e-12)


def test_attention_has_second_derivatives():
    # The network's width and length let torch choose a fused kernel, which could not be differentiated twice.
    torch.manual_seed(0)
    layer = nn.Linear(8, 24)
    x = torch.randn(2, 1, 16, 8)

    def attend(inputs=layer):
        q, k, v = inputs(x).chunk(3, dim=-1)
        return functional.scaled_dot_product_attention(q, k, v).square().mean()

    product = HessianVectorProduct(attend, list(layer.parameters()))
    vector = rademacher(1, product.num_parameters, 0, torch.float32)[0]
    step = 1e-2

    def gradient(offset):
        moved = nn.Linear(8, 24)
        weight, bias = vector.split([8 * 24, 24])
        with torch.no_grad():
            moved.weight.copy_(layer.weight + offset * weight.view(24, 8))
            moved.bias.copy_(layer.bias + offset * bias)
        return torch.cat(
            [part.flatten() for part in torch.autograd.grad(attend(moved), list(moved.parameters()))]
        )

    difference = (gradient(step) - gradient(-step)) / (2 * step)
    # Central differences in float32 with step 1e-2 are good to about 1e-3 of the largest entry.
    torch.testing.assert_close(product(vector), difference, rtol=0, atol=5e-3 * float(difference.abs().max()))


def test_parameters_outside_the_loss_have_zero_rows():
    used = torch.tensor([1.0, 2.0], requires_grad=True)
    linear = torch.tensor([3.0], requires_grad=True)
    unused = torch.tensor([4.0], requires_grad=True)
    product = HessianVectorProduct(lambda: (used**3).sum() + 5 * linear.sum(), [used, linear, unused])
    torch.testing.assert_close(product(torch.ones(4)), torch.tensor([6.0, 12.0, 0.0, 0.0]))


def test_a_loss_per_sample_is_refused():
    weight = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="scalar"):
        HessianVectorProduct(lambda: weight.square(), [weight])


def test_scaled_unit_vectors_give_the_exact_trace(tiny):
    # sqrt(P) e_i have mean outer product I, so their mean of v^T H v is the trace without any estimation.
    matrix, _ = tiny
    probes = torch.eye(51, dtype=torch.float64) * math.sqrt(51)
    assert hutchinson_trace(form_of(matrix), probes).value == pytest.approx(matrix.trace().item(), rel=1e-12)


def test_all_sign_vectors_give_the_exact_trace_and_spread():
    # Over all 2^P Rademacher vectors the mean is tr(H) and the variance 2 sum_{i != j} H_ij^2.
    matrix = torch.tensor([[2.0, -1.0, 0.5], [-1.0, 3.0, 0.25], [0.5, 0.25, -4.0]], dtype=torch.float64)
    probes = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=torch.float64)
    estimate = hutchinson_trace(form_of(matrix), probes)
    variance = 2 * (matrix.square().sum() - matrix.diagonal().square().sum()).item()
    assert estimate.value == pytest.approx(1.0, rel=1e-12)
    assert estimate.stderr == pytest.approx(
        math.sqrt(variance / (8 - 1)), rel=1e-12
    )  # sample variance: n - 1
    assert estimate.num_probes == 8


def test_standard_error_is_the_spread_of_repeated_estimates(tiny):
    matrix, _ = tiny
    estimates = [hutchinson_trace(form_of(matrix), rademacher(16, 51, seed)) for seed in range(2000)]
    empirical = np.std([estimate.value for estimate in estimates])
    reported = math.sqrt(np.mean([estimate.stderr**2 for estimate in estimates]))
    # 2,000 repeats know a standard deviation to 1 / sqrt(4000) = 1.6 %; 7 % is four of those and room for the tails.
    assert reported == pytest.approx(empirical, rel=0.07)
    assert np.mean([estimate.value for estimate in estimates]) == pytest.approx(
        matrix.trace().item(), abs=4 * empirical / math.sqrt(2000)
    )


def test_one_probe_has_no_standard_error():
    with pytest.raises(ValueError, match="at least 2 probes"):
        hutchinson_trace(form_of(torch.eye(3)), torch.ones(1, 3))


def test_top_eigenvalue_equals_numpys(tiny):
    matrix, product = tiny
    eigenvalues = np.linalg.eigvalsh(matrix.numpy())
    expected = eigenvalues[np.abs(eigenvalues).argmax()]
    found = top_eigenvalue(product, rademacher(1, 51, 0)[0], 500, tolerance=1e-12)
    assert found.converged
    # The error is at most the last change over (1 - ratio of the two largest eigenvalues squared): 1e-9 is ample.
    assert found.value == pytest.approx(expected, rel=1e-9)


def test_top_eigenvalue_is_the_largest_in_magnitude_with_its_sign():
    matrix = torch.diag(torch.tensor([3.0, 1.0, -5.0], dtype=torch.float64))
    found = top_eigenvalue(matrix.mv, torch.ones(3, dtype=torch.float64), 200, tolerance=1e-12)
    assert found.value == pytest.approx(-5.0, rel=1e-9) and found.converged


def test_power_iteration_says_when_it_did_not_converge():
    matrix = torch.diag(torch.tensor([1.0, 0.99], dtype=torch.float64))
    calls = []

    def product(vector):
        calls.append(vector)
        return matrix @ vector

    found = top_eigenvalue(product, torch.ones(2, dtype=torch.float64), 3, tolerance=1e-9)
    assert (found.converged, found.iterations, len(calls)) == (False, 3, 3)


def test_a_zero_matrix_has_eigenvalue_zero():
    found = top_eigenvalue(torch.zeros(3, 3).mv, torch.ones(3), 5)
    assert (found.value, found.converged) == (0.0, True)


# PyHessian keeps its graph alive in .grad, which torch warns of.
pyhessian_warns = pytest.mark.filterwarnings("ignore:Using backward:UserWarning")


@pytest.fixture
def beside_pyhessian():
    network, x, y = tiny_problem(torch.float32)
    theirs = PyHessian(network, nn.MSELoss(), data=(x, y), cuda=False)
    return theirs, lambda: functional.mse_loss(network(x), y), list(network.parameters())


@pyhessian_warns
def test_trace_equals_pyhessians_on_the_same_probes(beside_pyhessian, monkeypatch):
    theirs, loss, parameters = beside_pyhessian
    probes = rademacher(16, 51, 7, torch.float32)
    sizes = [parameter.numel() for parameter in parameters]
    bits = iter([(part + 1) / 2 for probe in probes for part in probe.split(sizes)])
    monkeypatch.setattr(torch, "randint_like", lambda like, high, device: next(bits).view_as(like))
    terms = theirs.trace(maxIter=16, tol=-math.inf)  # it would stop early at any tolerance
    assert len(terms) == 16
    estimate = hutchinson_trace(QuadraticForm(loss, parameters), probes)
    # float32 on both sides, summed in another order.
    assert estimate.value == pytest.approx(np.mean(terms), rel=1e-5)
    assert estimate.stderr == pytest.approx(np.std(terms, ddof=1) / 4, rel=1e-4)


@pyhessian_warns
def test_top_eigenvalue_equals_pyhessians(beside_pyhessian):
    theirs, loss, parameters = beside_pyhessian
    torch.manual_seed(0)
    (expected,), _ = theirs.eigenvalues(maxIter=500, tol=1e-6)
    product = HessianVectorProduct(loss, parameters)
    found = top_eigenvalue(product, rademacher(1, 51, 3, torch.float32)[0], 500, tolerance=1e-6)
    # Different starts, both stopped at a change of 1e-6 per iteration: a slow last approach may leave 1e-3.
    assert found.converged and found.value == pytest.approx(expected, rel=1e-3)
