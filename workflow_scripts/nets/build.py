"""Build the network that the settings name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from workflow_scripts.core import registry
from workflow_scripts.core.errors import ConfigError
from workflow_scripts.core.limits import check_model


def build_network(settings: Mapping[str, Any]) -> nn.Module:
    """Build the network of `settings` {model, data, method}; of classes if `method.condition` says so."""
    data, of_classes = settings["data"], settings["method"].get("condition") == "class"
    num_classes = data["num_classes"] if of_classes else None
    return build_model(settings["model"], data["channels"], data["image_size"], num_classes)


def build_model(
    settings_model: Mapping[str, Any], channels: int, image_size: int, num_classes: int | None = None
) -> nn.Module:
    """Build the network of `settings["model"]` for square images of side `image_size`.

    Its other keys are the network's parameters. With `num_classes` it takes labels after its other inputs.
    The initial weights are drawn from torch's global generator. ConfigError or ValueError, naming the key,
    for an unknown name or values that do not fit together.
    """
    check_model(settings_model, image_size, num_classes)
    settings = dict(settings_model)
    name = settings.pop("name")
    if num_classes is not None:
        settings["num_classes"] = num_classes
    network = registry.load("model.name", name)(channels=channels, image_size=image_size, **settings)
    if not isinstance(network, nn.Module):
        raise ConfigError(f"model.name {name} made a {type(network).__name__}, not a torch.nn.Module")
    return network
