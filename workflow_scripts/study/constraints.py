"""Values that are each valid and together impossible, which a schema of single keys cannot express."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.core.limits import check_gamma, check_method, is_trained
from workflow_scripts.core.registry import constant_of, known, parameters_of
from workflow_scripts.diffusion.schedules import alphas_cumprod_of, make_betas, snr_of
from workflow_scripts.diffusion.weighting import loss_weights
from workflow_scripts.study.measures import STAGES, can_be_probed, needs_of, rows_of
from workflow_scripts.study.points import calls_per_step, fits, points_of
from workflow_scripts.study.schema import keys_of, nearest

# What is left of the image at the last timestep, by which sampling from eps divides, and the largest weight
# of a loss: both with room in float32 for what the network says.
SMALLEST_SIGNAL, LARGEST_WEIGHT = 1e-30, 1e30


def check_settings(settings: dict[str, Any], file_of: Callable[[str], str]) -> None:
    """Raise a one-line ConfigError for the first impossible combination in an arm's resolved settings.

    `file_of` gives the file that sets a dotted key; the message starts with that file and that key.
    """
    try:
        check_gamma(settings["loss"]["weighting"], settings["loss"]["min_snr_gamma"])
        _check_diffusion(settings["diffusion"], settings["curvature"])
        _check_schedule(settings["diffusion"], settings["loss"])
        _check_training(settings["training"])
        _check_data(settings["data"])
        _check_points(settings)
        _check_metrics(settings)
        _check_by_step(settings)
        check_method(settings["method"], settings["model"], settings["data"])
        _check_extractor(settings["extractor"], settings["data"])
    except (ValueError, ConfigError) as error:
        raise ConfigError(f"{file_of(str(error).split()[0])}: {error}") from error


def _check_diffusion(diffusion: dict[str, Any], curvature: dict[str, Any]) -> None:
    start, end = diffusion["beta_start"], diffusion["beta_end"]
    if start >= end:
        raise ValueError(f"diffusion.beta_start ({start}) must be below diffusion.beta_end ({end})")
    if curvature.get("timestep_mse_points", 0) > diffusion["num_timesteps"]:
        raise ValueError("curvature.timestep_mse_points is more than diffusion.num_timesteps")


def _check_schedule(diffusion: dict[str, Any], loss: dict[str, Any]) -> None:
    """Refuse what float32 cannot compute: by the prediction type at the last timestep, or by the weights."""
    alphas_cumprod = alphas_cumprod_of(make_betas(diffusion))
    signal, prediction = alphas_cumprod[-1] ** 0.5, diffusion["prediction_type"]
    if alphas_cumprod[0] == 1:
        raise ValueError(
            f"diffusion.beta_start ({diffusion['beta_start']}) is lost in rounding: the first timestep has "
            "no noise, so its signal-to-noise ratio is infinite; raise it"
        )
    if signal < (least := SMALLEST_SIGNAL if prediction == "eps" else 1e-150):
        raise ValueError(
            f"diffusion.beta_end ({diffusion['beta_end']}) leaves a signal of {signal:.0e} after "
            f"{len(alphas_cumprod)} timesteps; {prediction} needs {least:.0e}, because sampling divides by "
            f"it; lower it or diffusion.num_timesteps{', or predict x0 or v' if prediction == 'eps' else ''}"
        )
    # Built-in weightings only: one's own may import anything, and planning loads no torch.
    if (name := loss["weighting"]) in known("loss.weighting"):
        weights = loss_weights(snr_of(alphas_cumprod), prediction, name, loss["min_snr_gamma"])
        if weights.max() > LARGEST_WEIGHT:
            raise ValueError(
                f"loss.weighting {name} weighs {prediction} with up to {weights.max():.0e} on this schedule, "
                "more than float32 can add up; lower diffusion.beta_end, or predict x0 or v"
            )


def _check_training(training: dict[str, Any]) -> None:
    steps, last, log_every = (training[key] for key in ("checkpoint_steps", "num_steps", "log_every"))
    if steps != sorted(steps):
        raise ValueError(f"training.checkpoint_steps {steps} must increase")
    if steps[-1] != last:
        raise ValueError(
            f"training.checkpoint_steps must end with training.num_steps ({last}), ends with {steps[-1]}"
        )
    if last % log_every:
        raise ValueError(f"training.log_every ({log_every}) must divide training.num_steps ({last})")


def _check_data(data: dict[str, Any]) -> None:
    source, path = data["source"], PurePosixPath(data.get("path", ""))
    own = {} if source in known("data.source") else parameters_of("data.source", source)
    for key in data:
        if key not in [*(listed := keys_of("data")), *own]:
            raise ValueError(f"data.{key} is not a known key; {nearest(key, [*listed, *own])}")
    for key, needed in own.items():
        if needed and key not in ("root", *data):
            raise ValueError(f"data.{key} is missing; {source} needs it")
    if source == "image_folder" and "path" not in data:
        raise ValueError("data.path is missing; it says which folder or archive to read")
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"data.path {path} must lie below the data root (data_root)")
    for key in ("path", "resize", "sha256", "licence"):
        if key in data and source != "image_folder" and not own:
            raise ValueError(f"data.{key} is only for data.source image_folder, not {source}")
    has_parts = ("image_folder", "mnist", "mnist_stacked")
    if "test_split" in data and source not in has_parts and not own:
        raise ValueError(f"data.test_split is only for data.source {', '.join(has_parts)}, not {source}")
    if source.endswith("_stacked") and data["num_train"] is None:
        raise ValueError(f"data.source {source} draws its images; set data.num_train to their number")


def _check_points(settings: dict[str, Any]) -> None:
    names = [sampler["name"] for sampler in settings["sampling"]["samplers"]]
    if len(set(names)) != len(names):
        raise ValueError(f"sampling.samplers names one sampler twice: {', '.join(names)}")
    num_timesteps = settings["diffusion"]["num_timesteps"]
    for point, own in points_of(settings).items():
        # the key that gives it: the short list, or `points`
        where = f"points.{point}" if point in settings["points"] else f"sampling.samplers {own['sampler']}"
        for key in ("sampler", "nfe"):
            if key not in own:
                raise ValueError(f"points.{point} needs {key}")
        calls = calls_per_step(own)
        if own["nfe"] % calls:
            raise ValueError(f"{where}: nfe must be even; guidance takes two calls of the network per step")
        if own["nfe"] // calls > num_timesteps:
            raise ValueError(
                f"{where}: nfe {own['nfe']} is more than diffusion.num_timesteps {num_timesteps}"
            )
        presents = fits(own, settings["method"]) and not is_trained(settings["method"])
        if presents and own["num_samples"] > (num_test := settings["data"]["num_test"]):
            raise ValueError(
                f"{where}: num_samples {own['num_samples']} is more than data.num_test {num_test}, and "
                f"{settings['method']['name']} has one image for each of these"
            )
        if own["sampler"] == "direct" and own["nfe"] != 1:
            raise ValueError(f"{where}: direct calls the network once; set nfe to 1")
        if own["sampler"] == "ddim" and own["eta"] is None:
            raise ValueError(f"{where}: ddim needs eta (0 is deterministic)")
        if own["sampler"] != "ddim" and own["eta"] is not None:
            raise ValueError(f"{where}: {own['sampler']} has no eta; remove it")


def _check_metrics(settings: dict[str, Any]) -> None:
    """Refuse metrics that measure the same, or more images than there are."""
    measured: dict[str, str] = {}
    for metric in settings["metrics"]:
        if metric in STAGES:
            continue
        for row in rows_of(metric):
            if measured.setdefault(row, metric) != metric:
                raise ValueError(f"metrics {measured[row]} and {metric} both measure {row}; leave one out")
        kind, needs = settings["extractor"]["kind"], needs_of(metric)
        if kind != "inception" and "logits" in needs:
            continue
        if kind not in ("classifier", "channels") and {"predicted", "judge_accuracy"} & {*needs}:
            raise ValueError(
                f"metrics {metric} needs an extractor that tells classes; extractor.kind is {kind}, "
                "set classifier or leave the metric out"
            )
        if "distances" in needs and "frechet_by_step" not in settings["metrics"]:
            raise ValueError(f"metrics {metric} needs frechet_by_step; add it")
        least = constant_of("metrics", metric, "MIN_SAMPLES", 2)
        for name, point in points_of(settings).items():
            if fits(point, settings["method"]) and point["num_samples"] < least:
                key = "num_samples" in settings["points"].get(name, ()) and f"points.{name}"
                raise ValueError(
                    f"{key or 'sampling'}.num_samples is {point['num_samples']}, and the metric {metric} "
                    f"needs {least}"
                )
    least = least_train(settings)
    if (settings["data"]["num_train"] or least) < least:
        raise ValueError(
            f"data.num_train is {settings['data']['num_train']}, and steps after training need {least}; "
            "raise it, or lower the batch sizes in the curvature section"
        )


def least_train(settings: dict[str, Any]) -> int:
    """How many training images steps after training need: 4 for scale marks, or those of the probes."""
    if "curvature" not in settings["metrics"] or not can_be_probed(settings["method"]):
        return 4
    return max(4, *(settings["curvature"][key] for key in ("batch_size", "timestep_mse_batch_size")))


def _check_by_step(settings: dict[str, Any]) -> None:
    if "frechet_by_step" not in settings["metrics"]:
        return
    if "by_step" not in settings:
        raise ValueError("by_step is missing; the metric frechet_by_step needs points to judge at")
    if "frechet_distance" not in settings["metrics"]:
        raise ValueError("metrics: frechet_by_step needs frechet_distance, which judges the last checkpoint")
    for point in settings["by_step"]:
        if point not in (points := points_of(settings)):
            raise ValueError(f"by_step {point} is no point; {nearest(point, [*points])}")


def _check_extractor(extractor: dict[str, Any], data: dict[str, Any]) -> None:
    name, kind = extractor["name"], extractor["kind"]
    start = {"inception": "fid", "rotations": "rot_<data>"}.get(kind, "fd_<data>")
    if name.split("_")[0] != start.split("_")[0]:
        raise ValueError(f"extractor.name {name} with kind {kind}: its features are called {start}")
    if kind == "inception" and extractor["feature_dim"] != 2048:
        raise ValueError(f"extractor.feature_dim is {extractor['feature_dim']}, Inception's is 2048")
    if kind in ("classifier", "channels") and data["num_classes"] is None:
        raise ValueError(f"extractor.kind {kind} needs labels (data.num_classes); or take rotations")
    if kind == "channels":
        channels, num_classes = data["channels"], data["num_classes"]
        if round(num_classes ** (1 / channels)) ** channels != num_classes:
            raise ValueError(
                f"extractor.kind channels: {num_classes} classes are no whole number per channel, to the "
                f"power of {channels}; or take classifier"
            )
        if extractor["feature_dim"] % channels:
            raise ValueError(f"extractor.feature_dim must be divisible by data.channels ({channels})")
    if kind != "inception":
        for key in ("num_steps", "batch_size", "learning_rate", "seed", "min_test_accuracy"):
            if key not in extractor:
                raise ValueError(f"extractor.{key} is missing; a classifier is trained and needs it")
