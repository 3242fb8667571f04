"""Building blocks of the U-Net.

Shapes: images `[B, C, H, W]`, time embedding `[B, E]`, timesteps `[B]` int64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class TimeEmbedding(nn.Module):
    """Timesteps `[B]` to `[B, embedding_dim]`: sines and cosines, then two linear layers.

    The frequencies fall geometrically from 1 to 1/10000 (Vaswani et al. 2017, section 3.5; Ho et al. 2020,
    appendix B).
    """

    def __init__(self, num_frequencies: int, embedding_dim: int):
        super().__init__()
        exponents = torch.arange(num_frequencies, dtype=torch.float32) / num_frequencies
        self.register_buffer("frequencies", torch.exp(-math.log(10000.0) * exponents), persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(2 * num_frequencies, embedding_dim),
            nn.SiLU(),
            nn.Linear(embedding_dim, embedding_dim),
            nn.SiLU(),
        )

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        angles = t[:, None] * self.frequencies
        return self.layers(torch.cat((angles.sin(), angles.cos()), dim=1))


class Film(nn.Module):
    """Scales and shifts for layers of `widths` channels from the time embedding `[B, E]`, by one linear map.

    FiLM conditioning (Perez et al. 2018). Returns `(scale, shift)` per layer, each `[B, C]`, the scale near
    1. At least float32, since bfloat16 would round the scale to three digits.
    """

    def __init__(self, embedding_dim: int, widths: Sequence[int]):
        super().__init__()
        self._widths = list(widths)
        self.linear = nn.Linear(embedding_dim, 2 * sum(widths))

    def forward(self, embedding: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        made = self.linear(embedding)
        scales, shifts = made.to(torch.promote_types(made.dtype, torch.float32)).chunk(2, dim=1)
        return list(zip((1.0 + scales).split(self._widths, dim=1), shifts.split(self._widths, dim=1)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, with a scale and shift (`Film`) after the second norm.

    The second convolution starts at zero, so the block starts as its shortcut.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_groups: int, dropout: float):
        super().__init__()
        self.norm1 = nn.GroupNorm(norm_groups, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = AdaptiveGroupNorm(norm_groups, out_channels)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()
        self.conv2 = zero_initialised(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else PointwiseConv(in_channels, out_channels)

    def forward(self, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        h = self.norm2(self.conv1(silu(self.norm1(x))), scale, shift)
        return plus(self.conv2(self.dropout(silu(h))), self.shortcut(x))


class AdaptiveGroupNorm(nn.GroupNorm):
    """Group normalization with a scale and shift: `norm(x) * scale + shift`, each `[B, C]` or `[1, C]`.

    AdaGN in Dhariwal and Nichol (2021), section 4.3. It has no weights of its own, since `Film` can learn the
    same.
    """

    def __init__(self, num_groups: int, channels: int):
        super().__init__(num_groups, channels, affine=False)

    def forward(self, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        if len(scale) == 1:
            return functional.group_norm(x, self.num_groups, scale[0], shift[0], self.eps)
        # The batch as one image of B C channels, each with its own affine map, needs no pass over memory but
        # the norm's.
        images, channels, *sides = x.shape
        whole = x.reshape(1, images * channels, *sides)
        made = functional.group_norm(
            whole, images * self.num_groups, scale.flatten(), shift.flatten(), self.eps
        )
        return made.view(x.shape)


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution as a matrix product; a CPU's convolution would first copy the images."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight.flatten(1).expand(len(x), -1, -1)
        return torch.baddbmm(self.bias[:, None], weight, x.flatten(2)).unflatten(2, x.shape[2:])


class SelfAttention(nn.Module):
    """Every pixel attends to every other, one head, added to the input (Ho et al. 2020, appendix B)."""

    def __init__(self, channels: int, norm_groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(norm_groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.projection = zero_initialised(nn.Linear(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = self.norm(x).flatten(2).transpose(1, 2)  # [B, HW, C], the fastest layout for matrix products
        q, k, v = self.qkv(pixels).chunk(3, dim=2)
        if fused_attention_is_faster(q):
            attended = functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        else:
            weights = torch.bmm(q * q.shape[2] ** -0.5, k.transpose(1, 2)).softmax(dim=2)
            # Weights first: the other order gives the softmax's backward pass a transposed gradient, which it
            # copies.
            attended = torch.bmm(weights, v)
        # x first: the sum then has the memory order of x.
        return x + self.projection(attended).transpose(1, 2).unflatten(2, x.shape[2:])


def fused_attention_is_faster(q: torch.Tensor) -> bool:
    """Whether torch's fused attention is faster.

    Never with gradients, since curvature needs second derivatives. On a CPU it is in float32, and in bfloat16
    if the processor has matrix tiles (AMX).
    """
    if torch.is_grad_enabled() or q.device.type != "cpu":
        return False
    tiles = torch.cpu.get_capabilities().get("amx_bf16", False)
    return q.dtype == torch.float32 or (q.dtype == torch.bfloat16 and tiles)


def silu(x: torch.Tensor) -> torch.Tensor:
    """SiLU of a tensor that nothing else reads; in place without gradients."""
    return functional.silu(x, inplace=not torch.is_grad_enabled())


def plus(made: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`x + made`, where nothing else reads `made`; in place without gradients."""
    return x + made if torch.is_grad_enabled() else made.add_(x)


def zero_initialised(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """Set the weights and bias of `layer` to zero and return it."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
