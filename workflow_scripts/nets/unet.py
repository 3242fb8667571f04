"""The U-Net.

level 0   [B, b*m0, H, W]       stem -> blocks ---- skips ----> blocks -> norm, SiLU, conv -> [B, C, H, W]
level 1   [B, b*m1, H/2, W/2]     down -> blocks -- skips --> blocks -> up
...                                         -> middle ->
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from workflow_scripts.core.limits import level_sides
from workflow_scripts.nets.layers import (
    Film,
    PointwiseConv,
    ResidualBlock,
    SelfAttention,
    TimeEmbedding,
    silu,
    zero_initialised,
)


class UNet(nn.Module):
    """Maps (x_t, t) to an array of the image's shape (Ronneberger et al. 2015; Ho et al. 2020, appendix B).

    With `num_classes`, `forward(x, t, labels int64 [B])`; an embedding of the label is added to that of the
    timestep, and the label `num_classes` stands for an unknown class (Ho and Salimans 2022).

    `forward(x [B, C, H, W] float, t int64) -> [B, C, H, W]`, with H = W = `image_size`, and t `[B]` or, for
    all images, `[1]`. Level i works at `ceil(image_size / 2**i)` pixels a side, at least 2, with
    `base_channels * channel_mults[i]` channels. `attention_resolutions` are sides in pixels. The output is
    zero for every input before training. core/limits.py refuses settings outside these limits.
    """

    def __init__(
        self,
        *,
        channels: int,
        image_size: int,
        base_channels: int,
        channel_mults: Sequence[int],
        num_res_blocks: int,
        attention_resolutions: Sequence[int],
        dropout: float,
        norm_groups: int,
        num_classes: int | None = None,
    ):
        super().__init__()
        widths = [base_channels * mult for mult in channel_mults]
        sides = level_sides(image_size, len(widths))
        embedding_dim = 4 * base_channels

        modulated = []

        def block(in_channels: int, out_channels: int, side: int) -> UNetBlock:
            modulated.append(out_channels)
            residual = ResidualBlock(in_channels, out_channels, norm_groups, dropout)
            attention = SelfAttention(out_channels, norm_groups) if side in attention_resolutions else None
            return UNetBlock(residual, attention)

        self.time_embedding = TimeEmbedding(base_channels // 2, embedding_dim)
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down_blocks, self.downsamplers = nn.ModuleList(), nn.ModuleList()
        for level, (width, side) in enumerate(zip(widths, sides)):
            if level > 0:
                self.downsamplers.append(nn.Conv2d(widths[level - 1], width, 3, stride=2, padding=1))
            self.down_blocks.append(nn.ModuleList(block(width, width, side) for _ in range(num_res_blocks)))
        self.middle = block(widths[-1], widths[-1], sides[-1])
        self.up_blocks, self.reducers = nn.ModuleList(), nn.ModuleList()
        for level, (width, side) in reversed(list(enumerate(zip(widths, sides)))):
            if level < len(widths) - 1:
                self.reducers.append(PointwiseConv(widths[level + 1], width))
            blocks = (block(2 * width, width, side) for _ in range(num_res_blocks))
            self.up_blocks.append(nn.ModuleList(blocks))
        self.film = Film(embedding_dim, modulated)
        self.norm_out = nn.GroupNorm(norm_groups, widths[0])
        self.conv_out = zero_initialised(nn.Conv2d(widths[0], channels, 3, padding=1))
        # Last, so that the other weights start as without classes.
        self.class_embedding = None if num_classes is None else nn.Embedding(num_classes + 1, embedding_dim)

    def forward(self, x: torch.Tensor, t: torch.Tensor, *labels: torch.Tensor) -> torch.Tensor:
        embedding = self.time_embedding(t)
        if self.class_embedding is not None:
            embedding = embedding + self.class_embedding(*labels)
        # One (scale, shift) per block, in the order in which __init__ made them, which is the order here.
        film = iter(self.film(embedding))
        h = self.stem(x)
        skips = []
        for level, blocks in enumerate(self.down_blocks):
            if level > 0:
                h = self.downsamplers[level - 1](h)
            for block in blocks:
                h = block(h, *next(film))
                skips.append(h)
        h = self.middle(h, *next(film))
        for level, blocks in enumerate(self.up_blocks):
            if level > 0:
                # A 1x1 convolution commutes with nearest upsampling and costs a quarter before it.
                h = self.reducers[level - 1](h)
                # To the skip's size, not to twice its own: 7 pixels were halved to 4.
                h = functional.interpolate(h, size=skips[-1].shape[-2:], mode="nearest")
            for block in blocks:
                h = block(torch.cat((h, skips.pop()), dim=1), *next(film))
        return self.conv_out(silu(self.norm_out(h)))


class UNetBlock(nn.Module):
    """A residual block, followed by self-attention at some resolutions."""

    def __init__(self, residual: ResidualBlock, attention: SelfAttention | None):
        super().__init__()
        self.residual = residual
        self.attention = attention

    def forward(self, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        h = self.residual(x, scale, shift)
        return h if self.attention is None else self.attention(h)
