"""What no single key can say: values that are each valid and together impossible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from workflow_scripts.core.errors import ConfigError


def check_settings(settings: dict[str, Any], file_of: Callable[[str], str]) -> None:
    """Raise a one-line ConfigError for the first impossible combination in an arm's resolved settings.

    `file_of` gives the file that sets a dotted key; the message starts with that file and that key.
    """
    for broken, message in _impossible(settings):
        if broken:
            raise ConfigError(f"{file_of(message.split()[0])}: {message}")


def _impossible(settings: dict[str, Any]) -> Iterator[tuple[bool, str]]:
    """(is it so, what is wrong); every message starts with the dotted key to change."""
    diffusion, loss, model = settings["diffusion"], settings["loss"], settings["model"]
    yield (
        diffusion["beta_start"] >= diffusion["beta_end"],
        (
            f"diffusion.beta_start ({diffusion['beta_start']}) must be below diffusion.beta_end ({diffusion['beta_end']})"
        ),
    )
    needs_gamma = loss["weighting"] in ("min_snr", "min_snr_normalized")
    yield (
        needs_gamma and loss["min_snr_gamma"] is None,
        (f"loss.weighting {loss['weighting']} needs loss.min_snr_gamma (Hang et al. use 5)"),
    )
    yield (
        not needs_gamma and loss["min_snr_gamma"] is not None,
        (
            f"loss.min_snr_gamma is {loss['min_snr_gamma']}, but loss.weighting {loss['weighting']} does not use it; set it to null"
        ),
    )
    steps = settings["training"]["checkpoint_steps"]
    num_steps = settings["training"]["num_steps"]
    yield steps != sorted(steps), f"training.checkpoint_steps {steps} must increase"
    yield (
        steps[-1] != num_steps,
        (f"training.checkpoint_steps must end with training.num_steps ({num_steps}), ends with {steps[-1]}"),
    )
    yield (
        num_steps % settings["training"]["log_every"] != 0,
        (
            f"training.log_every ({settings['training']['log_every']}) must divide training.num_steps ({num_steps})"
        ),
    )
    data = settings["data"]
    source, path = data["source"], PurePosixPath(data.get("path", ""))
    yield (
        source == "image_folder" and "path" not in data,
        "data.path is missing; it says which folder or archive to read",
    )
    yield (
        path.is_absolute() or ".." in path.parts,
        f"data.path {path} must lie below the data root (data_root)",
    )
    for key in ("path", "resize", "sha256", "licence"):
        yield (
            key in data and source != "image_folder",
            f"data.{key} is only for data.source image_folder, not {source}",
        )
    yield (
        "test_split" in data and source not in ("image_folder", "mnist"),
        (f"data.test_split is only for data.source image_folder and mnist, not {source}"),
    )
    samplers = settings["sampling"]["samplers"]
    names = [sampler["name"] for sampler in samplers]
    yield len(set(names)) != len(names), f"sampling.samplers names one sampler twice: {', '.join(names)}"
    for sampler in samplers:
        most = max(sampler["nfe"])
        yield (
            most > diffusion["num_timesteps"],
            (
                f"sampling.samplers {sampler['name']}: nfe {most} is more than diffusion.num_timesteps {diffusion['num_timesteps']}"
            ),
        )
        yield (
            sampler["name"] == "ddim" and "eta" not in sampler,
            "sampling.samplers ddim needs eta (0 is deterministic)",
        )
        yield (
            sampler["name"] != "ddim" and "eta" in sampler,
            f"sampling.samplers {sampler['name']} has no eta; remove it",
        )
    for mult in model["channel_mults"]:
        yield (
            model["base_channels"] * mult % model["norm_groups"] != 0,
            (
                f"model.norm_groups ({model['norm_groups']}) must divide base_channels × {mult} = {model['base_channels'] * mult}"
            ),
        )
    size, expected = settings["data"]["image_size"], int("".join(filter(str.isdigit, model["name"])))
    yield (
        size != expected,
        f"model.name {model['name']} is for {expected}×{expected} images, data.image_size is {size}",
    )
    sides = [size]
    for _ in model["channel_mults"][1:]:
        sides.append((sides[-1] + 1) // 2)
    for side in model["attention_resolutions"]:
        yield (
            side not in sides,
            f"model.attention_resolutions {side} does not occur; the levels have sides {sides}",
        )
    yield (
        settings["curvature"]["timestep_mse_points"] > diffusion["num_timesteps"],
        ("curvature.timestep_mse_points is more than diffusion.num_timesteps"),
    )
    extractor = settings["extractor"]
    yield (
        (extractor["kind"] == "inception") != (extractor["name"] == "fid"),
        (
            f"extractor.name {extractor['name']} with kind {extractor['kind']}: only Inception-2015 features are called fid"
        ),
    )
    if extractor["kind"] == "classifier":
        for key in ("num_steps", "batch_size", "learning_rate", "seed", "min_test_accuracy"):
            yield key not in extractor, f"extractor.{key} is missing; a classifier is trained and needs it"
