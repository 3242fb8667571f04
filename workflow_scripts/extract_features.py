"""Turn samples into feature vectors.

Settings: extractor. Inputs: samples (npz, `images`), weights, info (of the extractor). Output: features (npz,
`features` f32 [N, D] in sample order).
"""

from __future__ import annotations

import numpy as np

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.common.files import read_json, read_npz, write_npz
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.step import Step, run
from workflow_scripts.metrics.extractors import iterate_features, load_extractor


def main(step: Step) -> None:
    """Extract batch by batch and write one array."""
    settings, samples = step.setting("extractor"), step.input("samples")
    (images,) = read_npz(samples, "images")
    if images.ndim != 4 or len(images) == 0:
        raise PipelineError(f"{samples} holds images {list(images.shape)}, not [N, H, W, C]; delete it and run again")
    extract = load_extractor(settings, step.input("weights"), read_json(step.input("info"))["extractor_sha256"])
    features = np.empty((len(images), settings["feature_dim"]), dtype=np.float32)
    progress = Progress("features", len(images), "images", step.log)
    done = 0
    for batch in iterate_features(extract, images):
        features[done : done + len(batch)] = batch
        done += len(batch)
        progress.update(done)
    if not np.isfinite(features).all():
        raise PipelineError(f"features of {samples} are not finite; check the extractor's weights")
    write_npz(step.output("features"), features=features)


if __name__ == "__main__":
    run(main)
