"""Turn samples into feature vectors.

Settings: extractor. Inputs: samples (npz, `images`), weights, info (of the extractor). Output: features (npz,
`features` f32 [N, D] in sample order, and from Inception `logits` f32 [N, 1008]).
"""

from __future__ import annotations

import numpy as np

from workflow_scripts.common.documents import EXTRACTOR_INFO, read_document
from workflow_scripts.common.errors import PipelineError
from workflow_scripts.common.files import read_npz, write_npz
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.step import Step, run
from workflow_scripts.metrics.extractors import BATCH_SIZE, load_extractor


def main(step: Step) -> None:
    """Extract batch by batch and write one array of each kind."""
    settings, samples = step.setting("extractor"), step.input("samples")
    (images,) = read_npz(samples, "images")
    if images.ndim != 4 or len(images) == 0:
        raise PipelineError(f"{samples} holds images {list(images.shape)}, not [N, H, W, C]; delete it and run again")
    extractor = load_extractor(settings, step.input("weights"), read_document(step.input("info"), EXTRACTOR_INFO)["extractor_sha256"])
    progress = Progress("features", len(images), "images", step.log)
    batches = []
    for start in range(0, len(images), BATCH_SIZE):
        batches.append(extractor.features_and_logits(images[start : start + BATCH_SIZE]))
        progress.update(min(start + BATCH_SIZE, len(images)))
    features, logits = zip(*batches)
    arrays = {"features": np.concatenate(features)}
    if logits[0] is not None:
        arrays["logits"] = np.concatenate(logits)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise PipelineError(f"features of {samples} are not finite; check the extractor's weights")
    write_npz(step.output("features"), **arrays)


if __name__ == "__main__":
    run(main)
