"""Which settings of a network and a loss fit together; for planning and for their users. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow_scripts.core.registry import parameters_of

# The image side that each named network is for; its widths come from the settings.
IMAGE_SIZES = {"unet_digits8": 8, "unet_mnist28": 28, "unet_cifar32": 32}


def level_sides(image_size: int, num_levels: int) -> list[int]:
    """The side in pixels at each level of a U-Net: halved from level to level, rounded up."""
    return [-(-image_size // 2**level) for level in range(num_levels)]


def check_model(settings_model: Mapping[str, Any], image_size: int) -> None:
    """Raise ValueError, starting with the key to change, unless `settings["model"]` fits this image side."""
    name, base_channels = settings_model["name"], settings_model["base_channels"]
    if name not in IMAGE_SIZES:
        raise ValueError(f"model.name {name!r} is unknown; known are {', '.join(sorted(IMAGE_SIZES))}")
    if image_size != (side := IMAGE_SIZES[name]):
        raise ValueError(f"model.name {name} is for {side}×{side} images, data.image_size is {image_size}")
    if base_channels % 2 != 0:
        raise ValueError(f"model.base_channels ({base_channels}) must be even: half are time frequencies")
    for mult in settings_model["channel_mults"]:
        if base_channels * mult % settings_model["norm_groups"] != 0:
            raise ValueError(
                f"model.norm_groups ({settings_model['norm_groups']}) must divide "
                f"base_channels × {mult} = {base_channels * mult}"
            )
    sides = level_sides(image_size, len(settings_model["channel_mults"]))
    for side in settings_model["attention_resolutions"]:
        if side not in sides:
            raise ValueError(
                f"model.attention_resolutions {side} does not occur; the levels have sides {sides}"
            )


def check_gamma(weighting: str, gamma: float | None) -> None:
    """Raise ValueError, starting with the key to change, unless `gamma` is given exactly where it is used."""
    needs_gamma = "gamma" in parameters_of("loss.weighting", weighting)
    if needs_gamma and gamma is None:
        raise ValueError(f"loss.weighting {weighting} needs loss.min_snr_gamma (Hang et al. use 5)")
    if not needs_gamma and gamma is not None:
        raise ValueError(
            f"loss.min_snr_gamma is {gamma}, but loss.weighting {weighting} does not use it; set it to null"
        )
