"""The walkthroughs' U-Net: every choice works and matters, and what a norm over single channels cancels."""

from __future__ import annotations

import pytest
import torch

from tests.tiny_run import IMAGES, tiny_settings, trained
from workflow_scripts.nets.build import build_model
from workflow_scripts.nets.plain_unet import PlainBlock, PlainUNet

SMALL = {"name": "plain_unet", "base_channels": 8, "channel_mults": [1, 2], "embedding_dim": 16}
CHANGES = [{key: value} for key, values in PlainUNet.CHOICES for value in values[1:]]


def outputs_of(model, side: int = 8):
    x, t = torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(1)), torch.tensor([3, 900])
    labels = () if model.labels is None else (torch.tensor([1, 7]),)
    return model.eval()(x, t, *labels), model(x, t.flip(0), *labels), model(x, t[:1], *labels)


@pytest.mark.parametrize("side", [8, 7, 28])
@pytest.mark.parametrize("num_classes", [None, 10])
@pytest.mark.parametrize("change", [{}, *CHANGES], ids=str)
def test_each_choice_gives_the_images_shape_and_uses_the_time(change, num_classes, side):
    torch.manual_seed(0)
    output, other_times, one_time = outputs_of(build_model(SMALL | change, 1, side, num_classes), side)
    assert output.shape == (2, 1, side, side) and torch.isfinite(output).all()
    assert (output - other_times).abs().max() > 1e-5
    torch.testing.assert_close(one_time[0], output[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_each_choice_makes_another_network(change):
    made = []
    for settings in (SMALL, SMALL | change):
        torch.manual_seed(0)
        made.append(outputs_of(build_model(settings, 1, 8, 10))[0])
    assert not torch.allclose(*made)


def block_of(kind: str, groups: int) -> PlainBlock:
    torch.manual_seed(0)
    return PlainBlock(1, 32, 128, kind, "film", "group", groups).eval()


def test_a_norm_over_single_channels_cancels_the_literal_film():
    """32 channels in 32 groups: what is scaled before the norm is divided by its own scale again.

    Only the scale's sign and the norm's eps (1e-5) get through: norm(s h) = sign(s) norm(h). The corrected
    block hears the embedding, and so would fewer groups.
    """
    x = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    embeddings = torch.ones(2, 4, 128) * torch.tensor([1.0, 2.0])[:, None, None]

    def difference(kind: str, groups: int, first_scale: float = 1.0) -> float:
        block = block_of(kind, groups)
        with torch.no_grad():
            block.embed.weight.abs_()  # scales of one sign, of 5 and 10
            block.embed.weight[0] *= first_scale
            block.embed.bias.zero_()
            block.embed.bias[0] = -7.5 * min(first_scale, 0)  # between the two, so that the sign changes
            one, two = (block(x, embedding) for embedding in embeddings)
        return float((one - two).abs().max())

    assert difference("literal", 32) < 1e-3 < 0.1 < difference("literal", 32, first_scale=-1.0)
    assert difference("corrected", 32) > 0.1


def test_corrected_film_is_the_formula():
    block = block_of("corrected", 8)
    x, embedding = torch.randn(2, 1, 8, 8), torch.randn(2, 128)
    scale, shift = block.embed(embedding)[:, :, None, None].chunk(2, dim=1)
    h = torch.nn.functional.silu(block.norm1(block.conv1(x)) * (1 + scale) + shift)
    expected = torch.nn.functional.silu(block.norm2(block.conv2(h)))
    torch.testing.assert_close(block(x, embedding), expected)


def test_an_embedding_of_16_tells_neighbours_apart():
    """Walkthroughs say that it needs 128: timesteps 500 and 501 differ in the fast frequencies already."""
    torch.manual_seed(0)
    embedding = build_model(SMALL, 1, 8).time_embedding
    angles = torch.tensor([500, 501])[:, None] * embedding.frequencies
    first, second = torch.cat((angles.sin(), angles.cos()), dim=1)
    assert (first - second).norm() > 0.9


def test_four_images_overfit():
    """Far below 1, the error of predicting zero."""
    uniform = {"weighting": "uniform", "min_snr_gamma": None}
    settings = tiny_settings(training={"learning_rate": 4e-3}, loss=uniform) | {"model": SMALL}
    _, rows = trained(settings, 200, every=50, images=IMAGES[:4])
    assert rows[0][2] > 0.4 and rows[-1][2] < 0.2


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"block": "fixed"}, "model.block is 'fixed', must be one of corrected, literal"),
        ({"norm_groups": 5}, "model.norm_groups"),
        ({"embedding_dim": 15}, "model.embedding_dim"),
        ({"depth": 3}, "model.depth is not a parameter of plain_unet"),
    ],
)
def test_settings_that_do_not_fit_name_the_key(change, key):
    with pytest.raises(ValueError, match=f"^{key}"):
        build_model(SMALL | change, 1, 8)
