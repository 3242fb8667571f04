"""Winograd's convolutions against torch's own in float64."""

from __future__ import annotations

import importlib

import numba
import pytest
import torch
from torch import nn

from workflow_scripts.nets import winograd_tiles
from workflow_scripts.nets.frozen import frozen
from workflow_scripts.nets.registry import build_model
from workflow_scripts.nets.winograd import (
    MIN_CHANNELS,
    TILES_AT_ONCE,
    WinogradConv,
    can_transform,
    with_winograd,
)

CPU = torch.device("cpu")


def images(*shape: int) -> torch.Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    return made.contiguous(memory_format=torch.channels_last)


def convolution(channels: int, out: int, bias: bool = True, **changes: object) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(channels, out, **{"kernel_size": 3, "padding": 1, "bias": bias} | changes)


@pytest.mark.parametrize(
    "shape, out",
    [
        ((1, 32, 8, 8), 32),
        ((2 * TILES_AT_ONCE + 3, 8, 4, 4), 5),  # more than one portion, the last one smaller
        ((5, 3, 32, 32), 7),
        ((3, 4, 7, 14), 6),  # sides that no tile of four divides
        ((2, 1, 1, 1), 1),
        ((2, 2, 3, 2), 3),
        ((2, 128, 16, 16), 64),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_equals_torchs_in_float64(shape, out, bias):
    layer, x = convolution(shape[1], out, bias), images(*shape)
    with torch.inference_mode():
        found = WinogradConv(layer, {})(x)
        exact = layer.double()(x.double())
    assert found.shape == exact.shape and found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    # 1e-6 are 8 units in the last place of float32; a convolution of 1152 terms by oneDNN has 6e-7
    assert (found - exact).norm() / exact.norm() < 3e-6


def test_the_same_bytes_every_time_and_after_other_images():
    """What the layers of a network share keeps nothing of what was computed in it."""
    rooms: dict = {}
    layer, other = (WinogradConv(convolution(8, 8), rooms) for _ in range(2))
    x, large = images(3, 8, 6, 5), 100 * images(3, 8, 6, 5) + 7
    with torch.inference_mode():
        first = layer(x)
        other(large), layer(large), layer(images(2, 8, 4, 4))
        assert torch.equal(layer(x), first)
        assert torch.equal(layer(x.contiguous()), first)
    assert len(rooms) == 2


def test_what_is_not_finite_stays_so():
    x = images(2, 4, 8, 8)
    x[1, 2, 3, 3] = torch.inf
    with torch.inference_mode():
        y = WinogradConv(convolution(4, 4), {})(x)
    assert y[0].isfinite().all() and not y[1].isfinite().all()


def test_only_convolutions_that_gain_are_changed():
    many = MIN_CHANNELS
    kept = [
        convolution(many, many, stride=2),
        convolution(many, many, kernel_size=1, padding=0),
        convolution(many, many, padding=0),
        convolution(many, many, padding="same"),
        convolution(many, many, groups=2),
        convolution(many, many, padding_mode="circular"),
        convolution(many - 1, many),
        convolution(many, many - 1),
        nn.Linear(many, many),
    ]
    network = nn.Sequential(convolution(many, many), nn.Sequential(convolution(many, 2 * many)), *kept)
    changed = with_winograd(network)
    assert [type(layer) for layer in changed] == [WinogradConv, nn.Sequential, *map(type, kept)]
    assert isinstance(changed[1][0], WinogradConv)


def test_a_frozen_u_net_computes_the_same():
    settings = {
        "name": "unet_mnist28",
        "base_channels": MIN_CHANNELS,
        "channel_mults": [1, 2, 2],
        "num_res_blocks": 1,
        "attention_resolutions": [7],
        "dropout": 0.0,
        "norm_groups": 8,
    }

    def network() -> nn.Module:
        torch.manual_seed(0)
        made = build_model(settings, 1, 28).eval()
        for parameter in made.parameters():  # a U-Net's output is zero before training
            if not parameter.any():
                nn.init.normal_(parameter, std=0.05)
        return made

    inputs = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(1)), torch.tensor([7])
    with torch.inference_mode():
        exact = network().double()(inputs[0].double(), inputs[1])
        plain, fast = (frozen(network(), CPU, "fp32", "channels_last", winograd=on) for on in (False, True))
        errors = [((call(*inputs) - exact).norm() / exact.norm()).item() for call in (plain, fast)]
    # another order of computing, not more error than a few times float32's own
    assert errors[0] != errors[1] < 4 * errors[0] < 1e-5


@pytest.mark.parametrize(
    "device, precision, memory_format, expected",
    [
        ("cpu", "fp32", "channels_last", True),
        ("cpu", "fp32", "contiguous", False),
        ("cpu", "bf16", "channels_last", False),
        ("cuda", "fp32", "channels_last", False),
    ],
)
def test_it_is_for_float32_channels_last_on_a_cpu(device, precision, memory_format, expected):
    assert can_transform(torch.device(device), precision, memory_format) == expected


def test_where_no_folder_can_be_written_nothing_is_kept(monkeypatch):
    compile_it = numba.njit

    def without_a_cache(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return compile_it(**options)

    monkeypatch.setattr(numba, "njit", without_a_cache)
    try:
        importlib.reload(winograd_tiles)
        with torch.inference_mode():
            layer, x = convolution(4, 4), images(1, 4, 8, 8)
            torch.testing.assert_close(WinogradConv(layer, {})(x), layer(x))
    finally:
        monkeypatch.undo()
        importlib.reload(winograd_tiles)
