"""DCGAN's generator and discriminator (Radford et al. 2016), unconditional or of classes.

They double or halve the side `num_levels` times: 2**num_levels must divide it and leave at least 2 pixels (8
is 2 · 4, 28 is 7 · 4, 32 is 4 · 8), or core/limits.py refuses it. Convolutions start from N(0, 0.02), as in
the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DcganGenerator(nn.Module):
    """Images `[B, channels, S, S]` in [-1, 1] of latents `[B, latent_dim, 1, 1]`.

    Transposed convolutions with batch normalization double the side `num_levels` times; the last of them has
    `base_channels` inputs, each one before twice as many. With `num_classes`, `forward(latents, labels int64
    [B])` appends an embedding of the label, of `label_dim` numbers, to the latents.
    """

    def __init__(
        self,
        *,
        channels: int,
        image_size: int,
        base_channels: int,
        num_levels: int,
        latent_dim: int = 100,
        label_dim: int = 16,
        num_classes: int | None = None,
    ):
        super().__init__()
        widths = [base_channels * 2**level for level in reversed(range(num_levels))]
        inputs, side = latent_dim + (label_dim if num_classes else 0), image_size // 2**num_levels
        # No bias where batch normalization would take it away again.
        layers: list[nn.Module] = [nn.ConvTranspose2d(inputs, widths[0], side, bias=False)]
        for width, following in zip(widths, [*widths[1:], None]):
            double = nn.ConvTranspose2d(width, following or channels, 4, 2, 1, bias=following is None)
            layers += [nn.BatchNorm2d(width), nn.ReLU(), double]
        self.layers = nn.Sequential(*layers, nn.Tanh()).apply(_initialise)
        self.embedding = nn.Embedding(num_classes, label_dim) if num_classes else None

    def forward(self, latents: Tensor, *labels: Tensor) -> Tensor:
        return self.layers(_with_labels(latents, self.embedding, *labels))


class DcganDiscriminator(nn.Module):
    """A logit `[B]` for each image `[B, channels, S, S]`, above 0 for real ones.

    Convolutions with leaky ReLU and, from the second on, batch normalization halve the side `num_levels`
    times; the first has `base_channels` outputs, each further one twice as many. With `num_classes`,
    `forward(images, labels int64 [B])` appends an embedding of the label as `label_dim` constant planes.
    """

    def __init__(
        self,
        *,
        channels: int,
        image_size: int,
        base_channels: int,
        num_levels: int,
        label_dim: int = 16,
        num_classes: int | None = None,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels + (label_dim if num_classes else 0)
        for level in range(num_levels):
            width = base_channels * 2**level
            norm = nn.BatchNorm2d(width) if level else nn.Identity()
            halve = nn.Conv2d(inputs, width, 4, 2, 1, bias=level == 0)
            layers += [halve, norm, nn.LeakyReLU(0.2)]
            inputs = width
        layers += [nn.Conv2d(inputs, 1, image_size // 2**num_levels), nn.Flatten(0)]
        self.layers = nn.Sequential(*layers).apply(_initialise)
        self.embedding = nn.Embedding(num_classes, label_dim) if num_classes else None

    def forward(self, images: Tensor, *labels: Tensor) -> Tensor:
        return self.layers(_with_labels(images, self.embedding, *labels))


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, std=0.02)


def _with_labels(x: Tensor, embedding: nn.Embedding | None, *labels: Tensor) -> Tensor:
    """Append the labels' embeddings to `[B, C, H, W]`, each number as a constant plane, if of classes."""
    if embedding is None:
        return x
    planes = embedding(*labels)[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat((x, planes.to(x.dtype)), dim=1)
