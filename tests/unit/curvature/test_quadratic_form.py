"""v^T H v, operation by operation against explicit Hessians, and of a U-Net against its product H v."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.tiny_run import SETTINGS
from workflow_scripts.curvature.hessian import HessianVectorProduct
from workflow_scripts.curvature.quadratic_form import QuadraticForm
from workflow_scripts.curvature.second_order import Call, choose_rule
from workflow_scripts.nets.build import build_model

MODEL = SETTINGS["model"] | {
    "name": "unet",
    "base_channels": 4,
    "channel_mults": [1, 2, 2],
    "attention_resolutions": [7],
    "norm_groups": 2,
}


def constant(*shape):
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(len(shape) + sum(shape)), dtype=torch.float64
    )


# A function of tensors that are cut from one vector of parameters, and the shapes of these tensors.
OPERATIONS = {
    "conv2d": (lambda x, w, b: functional.conv2d(x, w, b, 2, 1), [(2, 3, 5, 5), (4, 3, 3, 3), (4,)]),
    "conv2d by name": (lambda x, w: functional.conv2d(x, w, padding=1), [(2, 3, 5, 5), (4, 3, 3, 3)]),
    "conv2d of constants": (lambda w, b: functional.conv2d(constant(2, 3, 5, 5), w, b), [(4, 3, 3, 3), (4,)]),
    "conv2d, grouped": (
        lambda x, w, b: functional.conv2d(x, w, b, 1, 1, 1, 2),
        [(2, 4, 5, 5), (4, 2, 3, 3), (4,)],
    ),
    "linear": (functional.linear, [(2, 3, 4), (5, 4), (5,)]),
    "linear of constants": (lambda w, b: functional.linear(constant(3, 4), w, b), [(5, 4), (5,)]),
    "bmm": (torch.bmm, [(2, 3, 4), (2, 4, 5)]),
    "a square": (lambda x: torch.bmm(x, x), [(2, 3, 3)]),
    "baddbmm": (lambda b, x, w: torch.baddbmm(b, x.expand(2, -1, -1), w), [(3, 1), (3, 4), (2, 4, 5)]),
    "baddbmm scaled": (lambda b, x, w: torch.baddbmm(b, x, w, alpha=2), [(3, 1), (2, 3, 4), (2, 4, 5)]),
    "silu": (functional.silu, [(3, 4)]),
    "softmax": (lambda x: x.softmax(dim=1), [(2, 3, 4)]),
    "softmax of float32": (lambda x: x.softmax(1, torch.float64), [(2, 3, 4)]),
    "group norm": (lambda x, w, b: functional.group_norm(x, 2, w, b), [(3, 4, 2, 3), (4,), (4,)]),
    "group norm without weights": (lambda x: functional.group_norm(x, 2), [(3, 4, 5)]),
    "layer norm": (lambda x, w: functional.layer_norm(x, (4,), w), [(3, 4), (4,)]),
    "pieces": (lambda x: torch.cat((x.chunk(3)[0], x[2:4] * x[1:3])), [(6, 2)]),
    "pieces beside a constant": (lambda x: torch.cat((x[[0, 2]], constant(3, 2)), dim=0), [(4, 2)]),
    "views": (
        lambda x: (
            x.transpose(0, 1)
            .reshape(6, 4)
            .view(4, 2, 3)
            .flatten(1)
            .unflatten(1, (3, 2))
            .expand(2, -1, -1, -1)
        ),
        [(4, 3, 2)],
    ),
    "unequal pieces": (lambda x: x.split([1, 3], dim=1)[1], [(2, 4)]),
    "a sum": (lambda x, y: torch.add(x, y, alpha=2) + x, [(2, 3), (3,)]),
    "a sum with a number": (lambda x: 1.0 + x, [(2, 3)]),
    "a multiple": (lambda x: x * 3 + 0.5 * x, [(2, 3)]),
    "a product": (lambda x, y: x * y, [(2, 3), (3,)]),
    "upsampling": (lambda x: functional.interpolate(x, size=(5, 5), mode="nearest") ** 3, [(1, 2, 3, 3)]),
    "only its shape": (lambda x, y: x.expand_as(functional.silu(y)) ** 2, [(4,), (3, 4)]),
    "through float32": (lambda x: x.float().double() ** 3, [(3,)]),
}


def cut(flat, shapes):
    sizes = [torch.Size(shape).numel() for shape in shapes]
    return [piece.view(shape) for piece, shape in zip(flat.split(sizes), shapes, strict=True)]


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_equals_the_explicit_hessian(name):
    function, shapes = OPERATIONS[name]
    size = sum(torch.Size(shape).numel() for shape in shapes)
    flat = constant(size)

    def loss(values):
        # Curved before and after it, so that its input bends and its output is weighted unevenly.
        result = function(*cut(values + 0.3 * values.square(), shapes))
        return (result * constant(*result.shape)).sin().mean()

    # A cast to float32 rounds.
    rel = 1e-5 if "float32" in name else 1e-9
    matrix = torch.autograd.functional.hessian(loss, flat)
    parameter = flat.clone().requires_grad_()
    form = QuadraticForm(lambda: loss(parameter), [parameter])
    for number in range(3):
        vector = torch.randn(size, generator=torch.Generator().manual_seed(number), dtype=torch.float64)
        expected = vector @ matrix @ vector
        scale = float(vector.abs() @ matrix.abs() @ vector.abs())
        assert form(vector) == pytest.approx(expected.item(), abs=rel * scale)
    assert float(matrix.abs().max()) > 0


def test_a_convolutions_rule_asks_the_device_for_no_value():
    """Reading a value is an error on torch's meta device; on a GPU it would wait."""
    x, w, b = (torch.empty(shape, device="meta") for shape in ((2, 3, 5, 5), (4, 3, 3, 3), (4,)))
    made = functional.conv2d(x, w, b)
    call = Call(functional.conv2d, (x, w, b), {}, [made])
    rule = choose_rule(call, [True] * 3, [torch.empty_like(made)])
    (moved,), second = rule([x, w, b])
    assert moved.shape == made.shape
    assert second.shape == ()


def unet(dtype):
    """A small U-Net with everything a large one has, its loss on three images, and its parameters."""
    torch.manual_seed(0)
    network = build_model(MODEL, 1, 28).eval()
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    network = network.to(dtype)
    x, noise = torch.randn(2, 3, 1, 28, 28, dtype=torch.float64).to(dtype)
    t = torch.tensor([3, 400, 999])
    return lambda: functional.mse_loss(network(x, t), noise), list(network.parameters())


def signs(count, dtype):
    bits = torch.randint(0, 2, (8, count), generator=torch.Generator().manual_seed(1))
    return (2 * bits - 1).to(dtype)


def test_the_u_net_equals_the_hessian_vector_product():
    loss, parameters = unet(torch.float64)
    product, form = HessianVectorProduct(loss, parameters), QuadraticForm(loss, parameters)
    vectors = signs(sum(parameter.numel() for parameter in parameters), torch.float64)
    values = [torch.dot(vector, product(vector)).item() for vector in vectors]
    found = [form(vector) for vector in vectors]
    assert found == pytest.approx(values, rel=1e-9, abs=1e-9 * max(map(abs, values)))


@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_layers_at_zero_are_exact(bias):
    """Training starts with zero weights in the last layers."""
    torch.manual_seed(0)
    network = build_model(MODEL, 1, 28).double().eval()
    for name, parameter in network.named_parameters():
        if name.endswith("bias") and not parameter.any():
            nn.init.constant_(parameter, bias)
    x, noise = torch.randn(2, 2, 1, 28, 28, dtype=torch.float64)
    parameters = list(network.parameters())

    def loss():
        return functional.mse_loss(network(x, torch.tensor([3, 400])), noise)

    product, form = HessianVectorProduct(loss, parameters), QuadraticForm(loss, parameters)
    count = sum(parameter.numel() for parameter in parameters)
    for vector in (signs(count, torch.float64)[0], torch.eye(1, count, dtype=torch.float64)[0]):
        assert form(vector) == pytest.approx(torch.dot(vector, product(vector)).item(), rel=1e-9, abs=1e-15)


def test_parameters_that_do_not_bend_the_loss_add_nothing():
    parameters = [torch.tensor(values, requires_grad=True) for values in ([1.0, 2.0], [3.0], [4.0])]
    used, linear, _ = parameters

    def loss():
        return (used.contiguous() ** 3).sum() + 5 * linear.sum()  # contiguous returns its argument

    product, form = HessianVectorProduct(loss, parameters), QuadraticForm(loss, parameters)
    torch.testing.assert_close(product(torch.ones(4)), torch.tensor([6.0, 12.0, 0.0, 0.0]))
    assert form(torch.tensor([1.0, 1.0, 7.0, 9.0])) == pytest.approx(18.0)
    assert QuadraticForm(lambda: 2 * linear.sum(), [linear])(torch.ones(1)) == 0.0


def test_what_is_not_finite_stays_so():
    """The step recognizes a diverged checkpoint by it."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.SiLU(), nn.Conv2d(2, 1, 3))
    nn.init.constant_(network[0].weight, float("nan"))
    x = torch.randn(1, 1, 6, 6)
    form = QuadraticForm(lambda: network(x).square().mean(), list(network.parameters()))
    assert math.isnan(form(torch.ones(sum(parameter.numel() for parameter in network.parameters()))))


@pytest.mark.parametrize("kind", [HessianVectorProduct, QuadraticForm])
def test_a_loss_per_sample_is_refused(kind):
    weight = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="the loss must be a scalar"):
        kind(lambda: weight.square(), [weight])


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda weight: functional.dropout(weight, 0.5).square().sum(), "dropout returned another result"),
        (lambda weight: (weight * 1).relu_().square().sum(), "in place"),
    ],
)
def test_losses_that_cannot_be_written_down_are_refused(loss, words):
    torch.manual_seed(0)
    weight = torch.ones(32, requires_grad=True)
    with pytest.raises(ValueError, match=words):
        QuadraticForm(lambda: loss(weight), [weight])
