"""The small U-Net of DDPM walkthroughs, with each choice that they differ in as a parameter.

level 0   [B, b*m0, H, W]       block ------ skip ------> block -> conv -> [B, C, H, W]
level 1   [B, b*m1, H/2, W/2]     down -> block - skip -> block -> up
...                                         -> middle ->
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from workflow_scripts.nets.layers import TimeEmbedding, silu


class PlainUNet(nn.Module):
    """Maps (x_t, t), and labels int64 [B] with `num_classes`, to an array of the image's shape, of any size.

    `forward(x [B, C, H, W] float, t int64 [B] or [1], labels) -> [B, C, H, W]`. Level i has
    `base_channels * channel_mults[i]` channels. `block`, `conditioning` and `norm` are those of `PlainBlock`;
    `norm_groups` must divide all channels. `skips` hands each level's activations across. The timestep
    becomes `embedding_dim` numbers. The embedding of a label, of which number `num_classes` stands for an
    unknown class, is added to that of the timestep, or `class_embedding: concat` puts it beside it.
    """

    # Of each key that takes one of these; the first is the default.
    CHOICES = (
        ("block", ("corrected", "literal")),
        ("conditioning", ("film", "additive", "concat")),
        ("norm", ("group", "batch")),
        ("class_embedding", ("add", "concat")),
        ("skips", (True, False)),
    )

    def __init__(
        self,
        *,
        channels: int,
        image_size: int,
        base_channels: int,
        channel_mults: Sequence[int],
        embedding_dim: int = 128,
        block: str = "corrected",
        skips: bool = True,
        conditioning: str = "film",
        norm: str = "group",
        norm_groups: int = 8,
        class_embedding: str = "add",
        num_classes: int | None = None,
    ):
        super().__init__()
        widths = [base_channels * mult for mult in channel_mults]
        self.skips, self.class_embedding = skips, class_embedding
        self.time_embedding = TimeEmbedding(embedding_dim // 2, embedding_dim)
        both = num_classes is not None and class_embedding == "concat"

        def make(in_channels: int, out_channels: int) -> PlainBlock:
            size = embedding_dim * (2 if both else 1)
            return PlainBlock(in_channels, out_channels, size, block, conditioning, norm, norm_groups)

        pairs = list(pairwise(widths))
        self.down_blocks = nn.ModuleList(make(*pair) for pair in zip([channels, *widths], widths))
        self.downsamplers = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for width, _ in pairs)
        self.middle = make(widths[-1], widths[-1])
        self.up_blocks = nn.ModuleList(make(width * (2 if skips else 1), width) for width in reversed(widths))
        self.upsamplers = nn.ModuleList(
            nn.ConvTranspose2d(below, width, 3, 2, 1) for width, below in reversed(pairs)
        )
        self.conv_out = nn.Conv2d(widths[0], channels, 1)
        # Last, so that the other weights start as without classes.
        self.labels = None if num_classes is None else nn.Embedding(num_classes + 1, embedding_dim)

    def forward(self, x: Tensor, t: Tensor, *labels: Tensor) -> Tensor:
        embedding = self.time_embedding(t)
        if self.labels is not None:
            of_class = self.labels(*labels)
            joined = torch.cat((embedding.expand_as(of_class), of_class), dim=1)
            embedding = embedding + of_class if self.class_embedding == "add" else joined
        h, kept = x, []
        for level, block in enumerate(self.down_blocks):
            h = block(self.downsamplers[level - 1](h) if level else h, embedding)
            kept.append(h)
        h = self.middle(h, embedding)
        for level, block in enumerate(self.up_blocks):
            skip = kept.pop()
            if level:
                # to the skip's size: 7 pixels were halved to 4
                h = self.upsamplers[level - 1](h, output_size=skip.shape[-2:])
            h = block(torch.cat((h, skip), dim=1) if self.skips else h, embedding)
        return self.conv_out(h)


class PlainBlock(nn.Module):
    """Two 3x3 convolutions, each with a norm and SiLU; the embedding `[B, E]` enters at the first.

    `conditioning`: `film`, a scale of each channel (and a shift, if `block` is `corrected`); `additive`, a
    shift; `concat`, as many constant planes as an eighth of the channels, which the next convolution reads.
    `block: corrected` conditions after the norm, norm(h) (1 + scale) + shift (Perez et al. 2018). `literal`
    does before it, norm(h scale), as walkthroughs write it; a norm over single channels cancels all of the
    scale but its sign.
    `norm`: `group` or `batch`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding_dim: int,
        block: str,
        conditioning: str,
        norm: str,
        norm_groups: int,
    ):
        super().__init__()
        self.literal, self.conditioning = block == "literal", conditioning
        planes = max(1, out_channels // 8) if conditioning == "concat" else 0
        before, after = (planes, 0) if self.literal else (0, planes)
        film = 1 if self.literal else 2
        made = {"film": film * out_channels, "additive": out_channels, "concat": planes}[conditioning]

        def normalise() -> nn.Module:
            return (
                nn.BatchNorm2d(out_channels) if norm == "batch" else nn.GroupNorm(norm_groups, out_channels)
            )

        self.conv1 = nn.Conv2d(in_channels + before, out_channels, 3, padding=1)
        self.norm1 = normalise()
        self.embed = nn.Linear(embedding_dim, made)
        self.conv2 = nn.Conv2d(out_channels + after, out_channels, 3, padding=1)
        self.norm2 = normalise()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        # At least float32, since bfloat16 would round the scale to three digits.
        made = self.embed(embedding)
        made = made.to(torch.promote_types(made.dtype, torch.float32))[:, :, None, None]
        if self.conditioning == "concat":
            if self.literal:
                return self._second(silu(self.norm1(self.conv1(_with_planes(x, made)))))
            return self._second(_with_planes(silu(self.norm1(self.conv1(x))), made))
        h = self.conv1(x)
        h = self.norm1(self._conditioned(h, made)) if self.literal else self._conditioned(self.norm1(h), made)
        return self._second(silu(h))

    def _conditioned(self, h: Tensor, made: Tensor) -> Tensor:
        if self.conditioning == "additive":
            return h + made
        if self.literal:
            return h * made
        scale, shift = made.chunk(2, dim=1)
        return h * (1 + scale) + shift

    def _second(self, h: Tensor) -> Tensor:
        return silu(self.norm2(self.conv2(h)))


def _with_planes(x: Tensor, made: Tensor) -> Tensor:
    return torch.cat((x, made.to(x.dtype).expand(len(x), -1, *x.shape[2:])), dim=1)
