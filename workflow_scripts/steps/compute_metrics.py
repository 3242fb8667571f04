"""Compute every metric of one set of samples from its features.

Settings: study, preset, arm, seed, metric, num_samples, from (results.py). Inputs: features,
reference, reference_features (npz), reference_info, extractor_info (json), checkpoint (hashed only). Output:
metrics (json rows: Fréchet and kernel distance, precision, recall and, with Inception, the Inception Score).
"""

from __future__ import annotations

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
from workflow_scripts.metrics import fidelity
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.statistics import load_statistics, statistics_of
from workflow_scripts.study.results import check_row


def main(step: Step) -> None:
    """Write a row per metric of the first `num_samples` feature vectors; fewer are an error, 0 give none."""
    reference_info, extractor_info = _checked_infos(step)
    num_samples, metric = step.setting("num_samples"), step.setting("metric")
    names = ["features", "logits"] if metric == "fid" else ["features"]
    if not len(read_npz(step.input("features"), "features")[0]):
        write_json(step.output("metrics"), [])
        step.say("there are no images, so there is nothing to measure")
        return
    features, *logits = read_npz(step.input("features"), *names)
    if len(features) < num_samples:
        raise PipelineError(
            f"{step.input('features')} holds {len(features)} feature vectors, {num_samples} are needed; "
            "delete it and its samples and run again"
        )
    common = {name: step.setting(name) for name in ("study", "preset", "arm", "seed")}
    common |= {"stderr": None, "interval": None}
    common["from"] = {**step.setting("from"), "checkpoint_sha256": sha256_file(step.input("checkpoint"))}
    judge = {"extractor": extractor_info["name"], "extractor_sha256": extractor_info["extractor_sha256"]}
    statistics = load_statistics(step.input("reference"))
    (vectors,) = read_npz(step.input("reference_features"), "features")
    judge["num_samples"] = num_samples
    to_statistics = {"on": {**judge, "reference_sha256": reference_info["reference_sha256"]}}
    to_vectors = {"on": {**judge, "reference_sha256": reference_info["features_sha256"]}}
    features = features[:num_samples]
    value, spread, (low, high) = fidelity.kernel_distance(features, vectors)
    kernel = {"value": value, "stderr": spread, "interval": [low, high]}
    kernel_name = "kid" if metric == "fid" else f"kd_{metric.removeprefix('fd_')}"
    precision, recall = fidelity.precision_and_recall(features, vectors)
    rows = [
        {"metric": metric, "value": frechet_distance(statistics_of(features), statistics), **to_statistics},
        {"metric": kernel_name, **kernel, **to_vectors},
        {"metric": "precision", "value": precision, **to_vectors},
        {"metric": "recall", "value": recall, **to_vectors},
    ]
    for of_samples in logits:
        value, spread = fidelity.inception_score(of_samples[:num_samples])
        rows.append({"metric": "inception_score", "value": value, "stderr": spread, **to_statistics})
    rows = [{**common, **row} for row in rows]
    for row in rows:
        check_row(row, step.output("metrics"))
    write_json(step.output("metrics"), rows)
    step.say(", ".join(f"{row['metric']} {row['value']:.4g}" for row in rows))


def _checked_infos(step: Step) -> tuple[dict, dict]:
    """Read both descriptions and check that they belong to the files and settings of this step."""
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
