"""Building blocks of the U-Net.

Shapes: images `[B, C, H, W]`, time embedding `[B, E]`, timesteps `[B]` int64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from workflow_scripts.nets.dropout import Dropout


class TimeEmbedding(nn.Module):
    """Timesteps `[B]` to `[B, embedding_dim]`: sines and cosines, then two linear layers.

    The frequencies fall geometrically from 1 to 1/10000 (Vaswani et al. 2017, section 3.5; Ho et al. 2020, appendix B).
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
    """Scales and shifts of several layers, of `widths` channels each, from the time embedding `[B, E]` by one linear map.

    FiLM conditioning (Perez et al. 2018). For every layer `(scale, shift)`, each `[B, C]`, the scale near 1; not in bfloat16,
    which would round it to three digits.
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

    The second convolution starts at zero, so that the block starts as its shortcut.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_groups: int, dropout: float):
        super().__init__()
        self.norm1 = GroupNorm(norm_groups, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = AdaptiveGroupNorm(norm_groups, out_channels)
        self.dropout = Dropout(dropout) if dropout > 0 else nn.Identity()
        self.conv2 = zero_initialised(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.shortcut = (
            nn.Identity() if in_channels == out_channels else PointwiseConv(in_channels, out_channels)
        )

    def forward(self, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        h = self.norm2(self.conv1(silu(self.norm1(x))), scale, shift)
        return plus(self.conv2(self.dropout(silu(h))), self.shortcut(x))


class GroupNorm(nn.GroupNorm):
    """Group normalization (Wu and He 2018); of bfloat16 on a CPU in float32, which it then returns, where that is faster."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._normalised(x, self.weight, self.bias)

    def _normalised(
        self, x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None
    ) -> torch.Tensor:
        if x.dtype == torch.bfloat16 and x.device.type == "cpu" and not x.is_contiguous():
            # Torch's kernel for channels last in bfloat16 goes value by value through images of less than 1024 pixels whose
            # groups' channels do not fill a register (64 channels in 8 groups: four to nine times float32's time).
            if x[0, 0].numel() < 1024 and (x.shape[1] // self.num_groups) % 16:
                x = x.float()
        return functional.group_norm(x, self.num_groups, weight, bias, self.eps)


class AdaptiveGroupNorm(GroupNorm):
    """Group normalization with a scale and shift, `[B, C]` or `[1, C]` for all images: `norm(x) * scale + shift`.

    AdaGN in Dhariwal and Nichol (2021), section 4.3. It has no weights: what a map of its own would add, `Film` can.
    """

    def __init__(self, num_groups: int, channels: int):
        super().__init__(num_groups, channels, affine=False)

    def forward(self, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        if len(scale) == 1:  # a norm's own affine map
            return self._normalised(x, scale[0], shift[0])
        if not x.is_contiguous():  # channels last, whose images have no common view
            return torch.addcmul(shift[:, :, None, None], super().forward(x), scale[:, :, None, None])
        # The batch as one image of B C channels, each with an affine map of its own: no pass over memory but the norm's.
        images, channels, *sides = x.shape
        whole = x.view(1, images * channels, *sides)
        made = functional.group_norm(
            whole, images * self.num_groups, scale.flatten(), shift.flatten(), self.eps
        )
        return made.view(x.shape)


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution, as the product of matrices that it is where each image's channels are rows in memory.

    On a CPU a convolution of images that are not channels last first copies them into its own order.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not x.is_contiguous():
            return super().forward(x)
        weight = self.weight.flatten(1).expand(len(x), -1, -1)
        return torch.baddbmm(self.bias[:, None], weight, x.flatten(2)).unflatten(2, x.shape[2:])


class SelfAttention(nn.Module):
    """Every pixel attends to every other, one head, added to the input (Ho et al. 2020, appendix B)."""

    def __init__(self, channels: int, norm_groups: int):
        super().__init__()
        self.norm = GroupNorm(norm_groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.projection = zero_initialised(nn.Linear(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = (
            self.norm(x).flatten(2).transpose(1, 2)
        )  # [B, HW, C]: what products of matrices of images are fastest with
        q, k, v = self.qkv(pixels).chunk(3, dim=2)
        if fused_attention_is_faster(q):
            attended = functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        else:
            weights = torch.bmm(q * q.shape[2] ** -0.5, k.transpose(1, 2)).softmax(dim=2)
            # weights first: the other order hands the softmax's derivative a transposed gradient, which it would copy
            attended = torch.bmm(weights, v)
        return x + self.projection(attended).transpose(1, 2).unflatten(
            2, x.shape[2:]
        )  # which keeps the order of x in memory


def fused_attention_is_faster(q: torch.Tensor) -> bool:
    """Whether torch's fused attention is faster than the same written out, without derivatives (curvature asks for a second).

    On a CPU it is in float32, and in bfloat16 where the processor has matrix tiles (AMX); docs/performance.md has the times.
    """
    if torch.is_grad_enabled() or q.device.type != "cpu":
        return False
    tiles = torch.cpu.get_capabilities().get("amx_bf16", False)
    return q.dtype == torch.float32 or (q.dtype == torch.bfloat16 and tiles)


def silu(x: torch.Tensor) -> torch.Tensor:
    """SiLU of a tensor that nothing else reads, in its memory where no gradient is asked for."""
    return functional.silu(x, inplace=not torch.is_grad_enabled())


def plus(made: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`x + made`, `made` being a tensor that nothing else reads, in its memory where no gradient is asked for."""
    return x + made if torch.is_grad_enabled() else made.add_(x)


def zero_initialised(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """The same layer with weights and bias set to zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
