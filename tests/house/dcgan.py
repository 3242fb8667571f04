"""DCGAN's generator and discriminator (Radford et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DcganGenerator(nn.Module):
    """Images `[B, channels, S, S]` in [-1, 1] of latents `[B, latent_dim, 1, 1]` (Radford et al. 2016).

    Transposed convolutions with batch normalization double the side `num_levels` times, so 2**num_levels must
    divide `image_size`; the last of them has `base_channels` inputs, each one before twice as many. With
    `num_classes`, `forward(latents, labels int64 [B])` appends the label, one-hot, to the latents.
    """

    def __init__(
        self,
        *,
        channels: int,
        image_size: int,
        latent_dim: int,
        base_channels: int,
        num_levels: int,
        num_classes: int | None = None,
    ):
        super().__init__()
        self.num_classes = num_classes
        widths = [base_channels * 2**level for level in reversed(range(num_levels))]
        # No bias where batch normalization would take it away again.
        inputs, side = latent_dim + (num_classes or 0), image_size // 2**num_levels
        layers: list[nn.Module] = [nn.ConvTranspose2d(inputs, widths[0], side, bias=False)]
        for width, following in zip(widths, [*widths[1:], None]):
            double = nn.ConvTranspose2d(width, following or channels, 4, 2, 1, bias=following is None)
            layers += [nn.BatchNorm2d(width), nn.ReLU(), double]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, latents: Tensor, *labels: Tensor) -> Tensor:
        return self.layers(with_class_planes(latents, self.num_classes, *labels))


class DcganDiscriminator(nn.Module):
    """A logit `[B]` for each image `[B, channels, S, S]`, above 0 for real ones (Radford et al. 2016).

    Convolutions with leaky ReLU and, from the second on, batch normalization halve the side `num_levels`
    times, so 2**num_levels must divide `image_size`; the first has `base_channels` outputs, each further one
    twice as many. With `num_classes`, `forward(images, labels int64 [B])` appends one-hot planes.
    """

    def __init__(
        self,
        *,
        channels: int,
        image_size: int,
        base_channels: int,
        num_levels: int,
        num_classes: int | None = None,
    ):
        super().__init__()
        self.num_classes = num_classes
        layers: list[nn.Module] = []
        inputs = channels + (num_classes or 0)
        for level in range(num_levels):
            width = base_channels * 2**level
            norm = nn.BatchNorm2d(width) if level else nn.Identity()
            halve = nn.Conv2d(inputs, width, 4, 2, 1, bias=level == 0)
            layers += [halve, norm, nn.LeakyReLU(0.2)]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(inputs, 1, image_size // 2**num_levels), nn.Flatten(0))

    def forward(self, images: Tensor, *labels: Tensor) -> Tensor:
        return self.layers(with_class_planes(images, self.num_classes, *labels))


def with_class_planes(x: Tensor, num_classes: int | None, *labels: Tensor) -> Tensor:
    """Append labels `[B]` to `[B, C, H, W]` as one-hot planes `[B, num_classes, H, W]`, if of classes."""
    if num_classes is None:
        return x
    # torch's one_hot waits for the device, which a recorded update must not
    planes = labels[0][:, None] == torch.arange(num_classes, device=x.device)
    return torch.cat((x, planes[:, :, None, None].to(x.dtype).expand(-1, -1, *x.shape[2:])), dim=1)
