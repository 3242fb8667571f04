"""Compute the training set's feature statistics, and known distances as a scale for readers.

Settings: extractor. Inputs: train, test (npz), weights, info (of the extractor), manifest (of the data).
Outputs: reference (npz: mu, sigma, count, origin), features (npz: f32 [M, D] of at most 10,000 training
images), info (json: metric, extractor, hashes, counts), scale_marks (json list).
"""

from __future__ import annotations

from workflow_scripts.core.files import (
    DATASET_MANIFEST,
    EXTRACTOR_INFO,
    read_document,
    sha256_file,
    write_json,
    write_npz,
)
from workflow_scripts.core.progress import Progress
from workflow_scripts.core.step import Step, run
from workflow_scripts.data.images import load_dataset
from workflow_scripts.metrics.extractors import load_extractor
from workflow_scripts.metrics.scale_marks import num_images, reference_and_scale_marks
from workflow_scripts.metrics.statistics import save_statistics
from workflow_scripts.training.device import device_of


def main(step: Step) -> None:
    """Extract features of training, test and noise images; write statistics and marks."""
    settings = step.setting("extractor")
    extractor_info = read_document(step.input("info"), EXTRACTOR_INFO)
    extract = load_extractor(
        settings, step.input("weights"), extractor_info["extractor_sha256"], lambda: device_of(step)
    )
    train = load_dataset(step.input("train"))["images"]
    test = load_dataset(step.input("test"))["images"]
    progress = Progress("reference features", num_images(train, test), "images", step.log)
    statistics, features, marks = reference_and_scale_marks(
        extract, train, test, settings["feature_dim"], progress.update
    )
    origin = {
        "extractor": settings["name"],
        "extractor_sha256": extractor_info["extractor_sha256"],
        "dataset_sha256": read_document(step.input("manifest"), DATASET_MANIFEST)["train"]["sha256"],
    }
    save_statistics(step.output("reference"), statistics, **origin)
    write_npz(step.output("features"), features=features)
    info = {
        "metric": settings["name"],
        **origin,
        "count": statistics.count,
        "reference_sha256": sha256_file(step.output("reference")),
        "num_features": len(features),
        "features_sha256": sha256_file(step.output("features")),
    }
    write_json(step.output("info"), info)
    write_json(step.output("scale_marks"), marks)
    for mark in marks:
        step.say(f"{info['metric']} {mark['value']:.4g}: {mark['label']}")


if __name__ == "__main__":
    run(main)
