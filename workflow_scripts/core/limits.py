"""Which settings of a method, its networks and a loss fit together; for planning too, so without torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from workflow_scripts.core.registry import constant_of, parameters_of


def level_sides(image_size: int, num_levels: int) -> list[int]:
    """The side in pixels at each level of a U-Net: halved from level to level, rounded up."""
    return [-(-image_size // 2**level) for level in range(num_levels)]


def check_model(
    settings_model: Mapping[str, Any], image_size: int, num_classes: int | None = None, where: str = "model"
) -> None:
    """Raise ValueError, starting with the key to change, unless `settings["model"]` fits its network's
    parameters and this image side; ConfigError for a network that cannot be used.
    """
    name = settings_model["name"]
    if name in ("unet_digits8", "unet_mnist28"):
        raise ValueError(f"model.name {name} is now called unet; it takes images of any size")
    parameters = _check_keys("model.name", settings_model, where, ("channels", "image_size", "num_classes"))
    if num_classes is not None and "num_classes" not in parameters:
        raise ValueError(f"{where}.name {name} takes no num_classes, so method.condition cannot be class")
    for key, choices in constant_of("model.name", name, "CHOICES", ()):
        if settings_model.get(key, choices[0]) not in choices:
            valid = ", ".join(map(str, choices))
            raise ValueError(f"{where}.{key} is {settings_model[key]!r}, must be one of {valid}")
    if name in ("unet", "unet_cifar32", "plain_unet"):
        _check_channels(settings_model, where)
    if name in ("unet", "unet_cifar32"):
        _check_unet(settings_model, image_size)
    if name in ("dcgan_generator", "dcgan_discriminator"):
        last, rest = divmod(image_size, 2 ** settings_model["num_levels"])
        if rest or last < 2:
            raise ValueError(
                f"{where}.num_levels ({settings_model['num_levels']}) halves {image_size} pixels a side to "
                f"{image_size / 2 ** settings_model['num_levels']:g}, which must be 2 or more and whole"
            )


def is_trained(method: Mapping[str, Any]) -> bool:
    """Whether runs of the method of this section train something."""
    return constant_of("method.name", method["name"], "TRAINED", True)


def check_method(method: Mapping[str, Any], model: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """As `check_model`, for the sections `method` and `model`."""
    _check_keys("method.name", method, "method", ("settings",))
    if not is_trained(method):
        return
    of_classes = method.get("condition") == "class"
    if of_classes and data.get("num_classes") is None:
        raise ValueError("method.condition is class, but data.num_classes is missing")
    num_classes = data["num_classes"] if of_classes else None
    for where, network in (("model", model), ("method.discriminator", method.get("discriminator"))):
        if network is not None:
            check_model(network, data["image_size"], num_classes, where)


def _check_keys(
    setting: str, section: Mapping[str, Any], where: str, given: Collection[str]
) -> dict[str, bool]:
    """The parameters of a section's object, which must be the section's keys, except those `given` to it."""
    name, parameters = section["name"], parameters_of(setting, section["name"])
    kind = "method" if setting == "method.name" else "network"
    takes = {key: needed for key, needed in parameters.items() if key not in given}
    for key in section:
        if key != "name" and key not in takes:
            raise ValueError(f"{where}.{key} is not a parameter of {name}, which takes {', '.join(takes)}")
    for key, needed in takes.items():
        if needed and key not in section:
            raise ValueError(f"{where}.{key} is missing; the {kind} {name} needs it")
    return parameters


def _check_channels(settings_model: Mapping[str, Any], where: str) -> None:
    base_channels, groups = settings_model["base_channels"], settings_model.get("norm_groups", 8)
    if settings_model.get("embedding_dim", 2) % 2 != 0:
        raise ValueError(f"{where}.embedding_dim must be even: half are sines and half cosines")
    for mult in settings_model["channel_mults"]:
        if base_channels * mult % groups != 0:
            raise ValueError(
                f"{where}.norm_groups ({groups}) must divide base_channels × {mult} = {base_channels * mult}"
            )


def _check_unet(settings_model: Mapping[str, Any], image_size: int) -> None:
    base_channels, mults = settings_model["base_channels"], settings_model["channel_mults"]
    if settings_model["name"] == "unet_cifar32" and image_size != 32:
        raise ValueError("model.name unet_cifar32 is for 32×32 images; for others it is unet")
    sides = level_sides(image_size, len(mults))
    if sides[-1] < 2:
        raise ValueError(f"model.channel_mults gives levels of {sides} pixels a side, the last needs 2")
    if base_channels % 2 != 0:
        raise ValueError(f"model.base_channels ({base_channels}) must be even: half are time frequencies")
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
