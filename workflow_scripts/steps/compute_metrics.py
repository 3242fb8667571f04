"""Compute every metric of one set of samples from its features. No torch: this step is short and runs often.

Settings: study, preset, arm, seed, step, sampler, eta, nfe, num_samples, ema, metric. Inputs: features, reference,
reference_features (npz), reference_info, extractor_info (json), checkpoint (hashed only). Output: metrics (json list of
metric rows: Fréchet and kernel distance, precision, recall, and with Inception's features the Inception Score).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import (
    EXTRACTOR_INFO,
    REFERENCE_INFO,
    read_document,
    read_npz,
    sha256_file,
    write_json,
)
from workflow_scripts.core.step import Step, run
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.inception_score import inception_score
from workflow_scripts.metrics.kernel_distance import kernel_distance, kernel_distance_name
from workflow_scripts.metrics.precision_recall import precision_and_recall
from workflow_scripts.metrics.statistics import load_statistics, statistics_of
from workflow_scripts.study.results import FIELDS, check_row

FROM_SETTINGS = (
    "study",
    "preset",
    "arm",
    "seed",
    "step",
    "sampler",
    "eta",
    "nfe",
    "num_samples",
    "ema",
    "metric",
)


def main(step: Step) -> None:
    """Write one row per metric; the first `num_samples` feature vectors count, and fewer are an error."""
    reference_info, extractor_info = _checked_infos(step)
    num_samples = step.setting("num_samples")
    # Inception's features come with its logits.
    arrays = read_npz(
        step.input("features"), "features", *(["logits"] if step.setting("metric") == "fid" else [])
    )
    if len(arrays[0]) < num_samples:
        raise PipelineError(
            f"{step.input('features')} holds {len(arrays[0])} feature vectors, {num_samples} are asked for; "
            "delete it and its samples and run again"
        )
    common = {
        **dict.fromkeys(FIELDS),
        **{name: step.setting(name) for name in FROM_SETTINGS},
        "checkpoint_sha256": sha256_file(step.input("checkpoint")),
        "extractor": extractor_info["name"],
        "extractor_sha256": extractor_info["extractor_sha256"],
        "reference_sha256": reference_info["reference_sha256"],
    }
    to_single_images = {"reference_sha256": reference_info["features_sha256"]}
    measured = _measure(step, to_single_images, *(array[:num_samples] for array in arrays))
    rows = [{**common, **row} for row in measured]
    for row in rows:
        check_row(row, step.output("metrics"))
    write_json(step.output("metrics"), rows)
    step.say(", ".join(f"{row['metric']} {row['value']:.4g}" for row in rows))


def _measure(
    step: Step, to_single_images: dict[str, str], features: np.ndarray, logits: np.ndarray | None = None
) -> Iterator[dict[str, Any]]:
    """What each metric adds to a row; `to_single_images` is for those that use the training images' own features."""
    metric = step.setting("metric")
    yield {"value": frechet_distance(statistics_of(features), load_statistics(step.input("reference")))}
    reference, radii = read_npz(step.input("reference_features"), "features", "radii")
    value, spread, (low, high) = kernel_distance(features, reference)
    with_interval = {"value": value, "stderr": spread, "interval_low": low, "interval_high": high}
    yield {"metric": kernel_distance_name(metric), **with_interval, **to_single_images}
    precision, recall = precision_and_recall(features, reference, radii)
    yield {"metric": "precision", "value": precision, **to_single_images}
    yield {"metric": "recall", "value": recall, **to_single_images}
    if logits is not None:
        value, spread = inception_score(logits)
        yield {"metric": "inception_score", "value": value, "stderr": spread}


def _checked_infos(step: Step) -> tuple[dict, dict]:
    """Both descriptions, after checking that they belong to the files and settings of this step."""
    reference_info = read_document(step.input("reference_info"), REFERENCE_INFO)
    extractor_info = read_document(step.input("extractor_info"), EXTRACTOR_INFO)
    reference, features = step.input("reference"), step.input("reference_features")
    for path, name, expected in (
        (step.input("reference_info"), "metric", step.setting("metric")),
        (step.input("reference_info"), "extractor_sha256", extractor_info["extractor_sha256"]),
        (reference, "reference_sha256", sha256_file(reference)),
        (features, "features_sha256", sha256_file(features)),
    ):
        if expected != reference_info[name]:
            raise PipelineError(
                f"{path}: {name} is {reference_info[name]}, expected {expected}; "
                "the reference statistics are of another run, delete their folder and run again"
            )
    return reference_info, extractor_info


if __name__ == "__main__":
    run(main)
