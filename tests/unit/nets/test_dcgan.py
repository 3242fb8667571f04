"""DCGAN's networks: sizes, starting weights, and labels that count."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from workflow_scripts.nets.build import build_model

GENERATOR = {"name": "dcgan_generator", "latent_dim": 5, "base_channels": 4, "label_dim": 3}
DISCRIMINATOR = {"name": "dcgan_discriminator", "base_channels": 4, "label_dim": 3}


def build(settings, num_levels, side, num_classes=None, channels=1):
    torch.manual_seed(0)
    return build_model({**settings, "num_levels": num_levels}, channels, side, num_classes)


@pytest.mark.parametrize(("side", "num_levels", "channels"), [(8, 2, 1), (28, 2, 3), (32, 3, 3), (6, 1, 1)])
def test_images_and_logits_of_every_size(side, num_levels, channels):
    make, tell = (build(one, num_levels, side, None, channels) for one in (GENERATOR, DISCRIMINATOR))
    images = make(torch.randn(2, 5, 1, 1))
    assert images.shape == (2, channels, side, side) and images.abs().max() <= 1
    assert tell(images).shape == (2,)
    last, widths = side // 2**num_levels, [4 * 2**level for level in range(num_levels)]
    # between the levels 4 x 4 weights; norms have two numbers a channel, all but D's first
    inner = sum(16 * narrow * wide for narrow, wide in pairwise(widths))
    of_make = 5 * widths[-1] * last**2 + inner + 16 * 4 * channels + channels + 2 * sum(widths)
    of_tell = 16 * channels * 4 + 4 + inner + 2 * sum(widths[1:]) + widths[-1] * last**2 + 1
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in (make, tell)]
    assert counts == [of_make, of_tell]


@pytest.mark.parametrize(("settings", "shape"), [(GENERATOR, (4, 5, 1, 1)), (DISCRIMINATOR, (4, 1, 8, 8))])
def test_a_label_counts_and_only_for_its_own_image(settings, shape):
    network, x = build(settings, 2, 8, 7).eval(), torch.randn(shape)
    first = network(x, torch.tensor([0, 1, 2, 6]))
    other = network(x, torch.tensor([0, 1, 3, 6]))
    assert not torch.equal(first[2], other[2]) and torch.equal(first[[0, 1, 3]], other[[0, 1, 3]])
    assert network.embedding.weight.shape == (7, 3)


def test_convolutions_start_from_a_deviation_of_a_fiftieth():
    weights = build({**DISCRIMINATOR, "base_channels": 64}, 2, 8).layers[3].weight
    # 131,072 weights: the deviation of their deviation is .2 %
    assert weights.std().item() == pytest.approx(0.02, rel=0.01) and abs(weights.mean().item()) < 3e-4


@pytest.mark.parametrize(("side", "num_levels"), [(28, 3), (8, 3), (7, 1)])
def test_sides_that_cannot_be_halved_are_refused(side, num_levels):
    with pytest.raises(ValueError, match=rf"model.num_levels \({num_levels}\) halves {side} pixels"):
        build(GENERATOR, num_levels, side)
