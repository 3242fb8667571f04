"""What metrics need of a study, from a step's inputs: reference, extractor, real images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import EXTRACTOR_INFO, REFERENCE_INFO, read_document, read_npz, sha256_file
from workflow_scripts.core.step import Step
from workflow_scripts.metrics.statistics import load_statistics


def given_by_study(step: Step, needs: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the metric needs of the study, and the part of the rows' `on` that tells it."""
    given: dict[str, Any] = {}
    on: dict[str, Any] = {}
    extractor = None
    if "extractor_info" in step.inputs:
        extractor = read_document(step.input("extractor_info"), EXTRACTOR_INFO)
        on |= {"extractor": extractor["name"], "extractor_sha256": extractor["extractor_sha256"]}
    own = {"extractor": "name", "judge_accuracy": "test_accuracy"}
    given |= {need: extractor[key] for need, key in own.items() if need in needs}
    if "num_real" in needs:
        given["num_real"] = len(read_npz(step.input("train"), "images")[0])
    for need, hashed in (("reference", "reference_sha256"), ("reference_features", "features_sha256")):
        if need in needs:
            path = step.input(need)
            on["reference_sha256"] = _checked_info(step, extractor, hashed, path)[hashed]
            given[need] = load_statistics(path) if need == "reference" else read_npz(path, "features")[0]
    for need, name, array in (
        ("real", "train", "images"),
        ("real_labels", "train", "labels"),
        ("targets", "test", "images"),
    ):
        if need in needs:
            (given[need],) = read_npz(step.input(name), array)
            on[f"{need}_sha256"] = sha256_file(step.input(name))
    return given, on


def _checked_info(step: Step, extractor: dict[str, Any], hashed: str, path: Path) -> dict[str, Any]:
    """The reference's description, if it belongs to this file and this extractor."""
    info = read_document(step.input("reference_info"), REFERENCE_INFO)
    for where, name, expected in (
        (step.input("reference_info"), "metric", extractor["name"]),
        (step.input("reference_info"), "extractor_sha256", extractor["extractor_sha256"]),
        (path, hashed, sha256_file(path)),
    ):
        if expected != info[name]:
            raise PipelineError(
                f"{where}: {name} is {info[name]}, expected {expected}; "
                "the reference statistics are of another run, delete their folder and run again"
            )
    return info
