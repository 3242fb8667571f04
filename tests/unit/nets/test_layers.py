from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from workflow_scripts.nets.layers import (
    AdaptiveGroupNorm,
    Film,
    PointwiseConv,
    ResidualBlock,
    SelfAttention,
    TimeEmbedding,
)


def _randomise(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module


def test_time_embedding_is_sines_and_cosines_of_geometric_frequencies():
    embedding = TimeEmbedding(4, 16)
    seen = []
    embedding.layers.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    embedding(torch.tensor([0, 7, 999]))
    for row, t in zip(seen[0], (0, 7, 999)):
        angles = [t * 10000 ** (-i / 4) for i in range(4)]
        expected = torch.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles])
        # angles up to 999 carry a float32 rounding of 6e-5
        torch.testing.assert_close(row, expected, atol=1e-4, rtol=0)


def test_film_gives_every_layer_its_part_of_one_linear_map():
    film = _randomise(Film(6, [4, 2, 8])).double()
    embedding = torch.randn(3, 6, dtype=torch.float64)
    scales, shifts = (embedding @ film.linear.weight.T + film.linear.bias).chunk(2, dim=1)
    made = film(embedding)
    assert [(scale.shape, shift.shape) for scale, shift in made] == [((3, width),) * 2 for width in (4, 2, 8)]
    joined = tuple(torch.cat(parts, dim=1) for parts in zip(*made))
    # float64 throughout: only the order of additions differs
    torch.testing.assert_close(joined, (1 + scales, shifts), atol=1e-12, rtol=1e-12)
    in_bfloat16 = film.to(torch.bfloat16)(embedding.bfloat16())
    assert {part.dtype for layer in in_bfloat16 for part in layer} == {torch.float32}


def test_residual_block_is_its_formula():
    block = _randomise(ResidualBlock(4, 8, 2, 0.0)).double()
    x, scale, shift = torch.randn(3, 4, 5, 5, dtype=torch.float64), *torch.randn(2, 3, 8, dtype=torch.float64)

    def group_norm(h):
        groups = h.reshape(h.shape[0], 2, -1)
        deviation = torch.sqrt(groups.var(2, unbiased=False, keepdim=True) + 1e-5)
        return ((groups - groups.mean(2, keepdim=True)) / deviation).reshape(h.shape)

    def silu(h):
        return h / (1 + torch.exp(-h))

    h = group_norm(x) * block.norm1.weight[:, None, None] + block.norm1.bias[:, None, None]
    h = functional.conv2d(silu(h), block.conv1.weight, block.conv1.bias, padding=1)
    h = silu(group_norm(h) * scale[:, :, None, None] + shift[:, :, None, None])
    h = functional.conv2d(h, block.conv2.weight, block.conv2.bias, padding=1)
    expected = functional.conv2d(x, block.shortcut.weight, block.shortcut.bias) + h
    # float64 throughout: only the order of additions differs
    torch.testing.assert_close(block(x, scale, shift), expected, atol=1e-10, rtol=1e-10)


def test_a_pointwise_convolution_and_its_gradients_are_those_of_a_convolution():
    layer = _randomise(PointwiseConv(4, 6)).double()
    x = torch.randn(3, 4, 5, 7, dtype=torch.float64).requires_grad_()
    inputs = (x, layer.weight, layer.bias)
    made, expected = layer(x), functional.conv2d(*inputs)
    weight = torch.randn(expected.shape, dtype=torch.float64)
    gradients = [torch.autograd.grad((output * weight).sum(), inputs) for output in (made, expected)]
    # float64 throughout: only the order of additions differs
    torch.testing.assert_close(made, expected, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=1e-12)


def test_adaptive_group_norm_and_its_gradients_are_those_of_a_norm_and_an_affine_map():
    norm = AdaptiveGroupNorm(2, 6)
    assert not list(norm.parameters())
    generator = torch.Generator().manual_seed(2)

    def random(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    x, scale, shift = random(3, 6, 4, 5), random(3, 6), random(3, 6)
    inputs = [x.requires_grad_(), scale.requires_grad_(), shift.requires_grad_()]
    made, weights = norm(x, scale, shift), random(3, 6, 4, 5)
    expected = functional.group_norm(x, 2, eps=norm.eps) * scale[:, :, None, None] + shift[:, :, None, None]
    # float64 throughout: only the order of additions differs
    torch.testing.assert_close(made, expected, atol=1e-12, rtol=1e-12)
    ours, theirs = (torch.autograd.grad((y * weights).sum(), inputs) for y in (made, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-11, rtol=1e-11)
    one, each = norm(x, scale[:1], shift[:1]), norm(x, scale[:1].expand(3, -1), shift[:1].expand(3, -1))
    torch.testing.assert_close(one, each, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("out_channels", [4, 8])
def test_without_gradients_the_same_result_and_the_input_is_left_alone(out_channels):
    """Only then operations work in place, and torch's fused attention is used."""
    block = _randomise(ResidualBlock(4, out_channels, 2, 0.0))
    attention = _randomise(SelfAttention(out_channels, 2))
    x, film = torch.randn(3, 4, 4, 4), torch.randn(2, 3, out_channels)
    inputs = x.clone(), film.clone()
    hidden = block(x, *film)
    expected = hidden.detach().clone(), attention(hidden).detach()
    with torch.no_grad():
        made = block(x, *film)
        assert torch.equal(made, expected[0])
        # another order of additions in float32, of values below 10
        torch.testing.assert_close(attention(made), expected[1], atol=1e-5, rtol=1e-5)
        assert torch.equal(made, expected[0])
    assert torch.equal(x, inputs[0]) and torch.equal(film, inputs[1])


def test_attention_equals_torchs_own():
    attention = _randomise(SelfAttention(8, 2)).double()
    x = torch.randn(2, 8, 3, 5, dtype=torch.float64)
    q, k, v = attention.qkv(attention.norm(x).flatten(2).transpose(1, 2)).chunk(3, dim=2)
    attended = attention.projection(functional.scaled_dot_product_attention(q, k, v))
    expected = x + attended.transpose(1, 2).reshape(x.shape)
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            made = attention(x)
        assert made.is_contiguous()
        torch.testing.assert_close(made, expected, atol=1e-10, rtol=1e-10)


def test_attention_has_a_second_derivative():
    attention = _randomise(SelfAttention(4, 2)).double()
    x = torch.randn(1, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(attention, (x,))


def test_dropout_acts_only_in_training_and_follows_torchs_seed():
    block = _randomise(ResidualBlock(4, 4, 2, 0.5))
    x, film = torch.randn(2, 4, 4, 4), torch.randn(2, 2, 4)
    outputs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(block(x, *film))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])
    block.eval()
    assert torch.equal(block(x, *film), block(x, *film))


@pytest.mark.parametrize("tiles", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_attention_is_fused_only_without_gradients_and_where_it_is_faster(monkeypatch, dtype, tiles):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": tiles})
    calls, fused = [], functional.scaled_dot_product_attention
    monkeypatch.setattr(
        functional, "scaled_dot_product_attention", lambda *args: calls.append(args) or fused(*args)
    )
    attention, x = _randomise(SelfAttention(8, 2)).to(dtype), torch.randn(2, 8, 4, 4, dtype=dtype)
    written_out = attention(x)
    assert not calls
    with torch.no_grad():
        made = attention(x)
    assert len(calls) == (dtype == torch.float32 or (dtype == torch.bfloat16 and tiles))
    # three digits of bfloat16, twice rounded; of float32 another order of additions
    tolerance = 0.05 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(made, written_out, atol=tolerance, rtol=tolerance)
