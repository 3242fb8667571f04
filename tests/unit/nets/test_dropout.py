"""Dropout by 16 random bits an entry against its definition, and against torch's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from workflow_scripts.nets.dropout import LEVELS, Dropout

ENTRIES = (10, 3, 129, 257)  # 994,590, two short of a multiple of four


def dropped_out(p, x, seed=0):
    torch.manual_seed(seed)
    return Dropout(p)(x)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 1e-3])
def test_each_entry_is_dropped_with_the_probability_and_the_mean_stays(p):
    x = torch.ones(ENTRIES)
    y = dropped_out(p, x)
    share = (y == 0).double().mean().item()
    # five standard deviations of a mean of so many coin tosses
    assert share == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / x.numel()))
    probability = round(p * LEVELS) / LEVELS
    assert torch.equal(y[y != 0].unique(), torch.tensor([1 / (1 - probability)]))


def test_entries_fall_independently():
    """Neighbours share the 64 bits of one draw; the top bit of each is as free as the others."""
    kept = (dropped_out(0.5, torch.ones(1, 1_000_000)) != 0).double().flatten() - 0.5
    for lag in (1, 2, 3, 4, 5):
        # 1e6 products of +-1/4 have a mean of 0 with a standard deviation of 2.5e-4
        assert (kept[lag:] * kept[:-lag]).mean().item() == pytest.approx(0, abs=1.25e-3)
    for place in range(4):
        assert kept[place::4].mean().item() == pytest.approx(0, abs=5e-3)


def test_another_call_draws_another_mask_and_a_seed_repeats_it():
    x = torch.ones(64, 64)
    first = dropped_out(0.5, x)
    assert not torch.equal(first, Dropout(0.5)(x))
    assert torch.equal(first, dropped_out(0.5, x))


def test_the_gradient_passes_where_the_value_did():
    x = torch.randn(ENTRIES, requires_grad=True)
    y = dropped_out(0.3, x)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), y.detach())


def test_bfloat16_keeps_its_mean():
    """A scale of 1.111 rounded to bfloat16 would be 1.109."""
    y = dropped_out(0.1, torch.linspace(1, 2, 4_000_000).to(torch.bfloat16))
    assert y.dtype == torch.bfloat16
    # values of 1 to 2 with one in ten dropped: a mean of 1.5 with a standard deviation of 3e-4; the scale's rounding is 2e-3
    assert y.double().mean().item() == pytest.approx(1.5, abs=1e-3)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_the_ends_are_torchs(p):
    x = torch.randn(5, 7)
    torch.testing.assert_close(Dropout(p)(x), nn.Dropout(p)(x))


def test_evaluation_changes_nothing():
    x = torch.randn(5, 7)
    assert Dropout(0.5).eval()(x) is x


def test_elsewhere_it_is_torchs():
    assert Dropout(0.5)(torch.empty(3, 5, device="meta")).shape == (3, 5)
