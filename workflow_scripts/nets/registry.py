"""Models by name: `settings["model"]` in, a network out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.nets.unet import UNet, level_sides

# A name stands for the architecture and the image side it is meant for; its widths come from the settings.
IMAGE_SIZES = {"unet_digits8": 8, "unet_mnist28": 28, "unet_cifar32": 32}


def build_model(settings_model: Mapping[str, Any], channels: int, image_size: int) -> nn.Module:
    """Build the network of `settings["model"]`; its `forward(x [B, C, H, W], t [B] int64)` returns `[B, C, H, W]`.

    The initial weights are drawn from torch's global generator. ConfigError, naming the key, for an unknown name or
    values that do not fit together.
    """
    settings = dict(settings_model)
    name = settings.pop("name")
    if name not in IMAGE_SIZES:
        raise ConfigError(f"model.name: unknown model {name!r}; known are {', '.join(sorted(IMAGE_SIZES))}")
    if image_size != IMAGE_SIZES[name]:
        raise ConfigError(
            f"model.name: {name} is for side {IMAGE_SIZES[name]}, but data.image_size is {image_size}"
        )
    sides = level_sides(image_size, len(settings["channel_mults"]))
    if unused := [side for side in settings["attention_resolutions"] if side not in sides]:
        raise ConfigError(
            f"model.attention_resolutions: {unused} do not occur; the levels have sides {sides}"
        )
    base_channels, norm_groups = settings["base_channels"], settings["norm_groups"]
    if base_channels % 2 != 0:
        raise ConfigError(f"model.base_channels: {base_channels} is odd; the time embedding takes half of it")
    if base_channels % norm_groups != 0:
        raise ConfigError(
            f"model.norm_groups: {norm_groups} does not divide model.base_channels {base_channels}"
        )
    return UNet(channels=channels, image_size=image_size, **settings)
