"""What metrics need, and which files that is; for planning and for the step that measures. No torch.

A metric is a function whose parameters say what it needs:

    features            f32 [N, D], the extractor's of the samples at a point
    logits              f32 [N, 1008], Inception's of these samples
    predicted           i64 [N], the classes that the extractor's classifier takes these samples for
    samples             u8 [N, H, W, C], the samples at a point
    labels              i64 [N], the classes that these were asked to show, so that only arms of classes are
                        measured
    reference           mean and covariance of the training images' features (metrics/statistics.py)
    reference_features  f32 [M, D], features of training images
    real                u8 [M, H, W, C], the training images
    real_labels         i64 [M], their classes
    num_real            how many they are
    targets             u8 [M, H, W, C], the test images; number i is what sample number i restores, so that
                        only arms that restore are measured
    extractor           the extractor's name
    judge_accuracy      the share of test images that its classifier takes for what they are
    log                 the training log: f64 [rows] by column
    distances           f64 [checkpoints], the Fréchet distances that frechet_by_step and, at the end,
                        frechet_distance found at the arm's point of `by_step`
    num_classes, batch_size, prediction_type    settings of the arm

A metric of samples is measured at every point of a run, one of the log or of distances once per run.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.core.limits import is_trained
from workflow_scripts.core.registry import constant_of, parameters_of

# The inputs of the step for each of them; those of `PER_POINT` are one file per point.
INPUTS = {
    "features": ("features", "extractor_info"),
    "logits": ("features", "extractor_info"),
    "predicted": ("features", "extractor_info"),
    "samples": ("samples",),
    "labels": ("samples",),
    "reference": ("reference", "reference_info", "extractor_info"),
    "reference_features": ("reference_features", "reference_info", "extractor_info"),
    "real": ("train",),
    "real_labels": ("train",),
    "num_real": ("train",),
    "targets": ("test",),
    "extractor": ("extractor_info",),
    "judge_accuracy": ("extractor_info",),
    "log": ("log",),
    "distances": ("frechet_by_step", "frechet_distance"),
    "num_classes": (),
    "batch_size": (),
    "prediction_type": (),
}
# Needs that are settings, by their section.
SETTINGS = {"num_classes": "data", "batch_size": "training", "prediction_type": "diffusion"}
PER_POINT = ("features", "samples")
# Metrics that are rules of their own, with the metrics of their rows at the last step.
STAGES = {
    "curvature": ("hessian_trace", "hessian_top_eigenvalue"),
    "frechet_by_step": (),
    "training_flops": ("flops_per_step", "training_flops"),
}


def can_be_probed(method: Mapping[str, Any]) -> bool:
    """Whether the loss surface of a method (the section) can be probed: unconditional diffusion's."""
    return method == {"name": "diffusion"}


def restores(method: Mapping[str, Any]) -> bool:
    """Whether sample number i of a method (the section) is to be test image i."""
    return not is_trained(method) or method.get("condition") == "image"


def needs_of(metric: str) -> tuple[str, ...]:
    """What a metric needs; ConfigError for a need that is unknown."""
    if metric in STAGES:
        return ()
    needs = tuple(parameters_of("metrics", metric))
    if unknown := [name for name in needs if name not in INPUTS]:
        raise ConfigError(f"metrics: {metric} needs {unknown[0]}, which is none of {', '.join(INPUTS)}")
    if not {"log", "frechet_by_step", *PER_POINT} & {name for need in needs for name in INPUTS[need]}:
        raise ConfigError(f"metrics: {metric} needs neither images nor the log of a run")
    return needs


def inputs_of(metric: str) -> list[str]:
    """The inputs of the step that measures a metric, each once."""
    return list(dict.fromkeys(name for need in needs_of(metric) for name in INPUTS[need]))


def file_of(metric: str) -> str:
    """The name of a metric's rule and file: without the module of one's own."""
    return metric.rpartition(":")[2]


def rows_named(metric: str, extractor: str) -> list[str]:
    """The metrics of a metric's rows at the last step, with the extractor's name in place of a *."""
    if metric in STAGES:
        return [*STAGES[metric]]
    rows, own = [*rows_of(metric)], extractor.removeprefix("fd_")
    if inceptions := [row for row in rows if row in ("fid", "kid")]:
        rows = inceptions if extractor == "fid" else [row for row in rows if row not in inceptions]
    return (
        [extractor]
        if any(fnmatchcase(extractor, row) for row in rows)
        else [row.replace("*", own) for row in rows]
    )


def rows_of(metric: str) -> dict[str, dict[str, Any]]:
    """The metrics of its rows, with the direction and unit of each."""
    return constant_of("metrics", metric, "ROWS")
