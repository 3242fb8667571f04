"""Turn samples into feature vectors.

Settings: extractor; predicted, true if metrics need the classifier's answers. Inputs: samples (npz,
`images`), weights, info (of the extractor). Output: features (npz: `features` f32 [N, D] in sample order,
from Inception also `logits` f32 [N, 1008], and if asked for `predicted` i64 [N]).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from workflow_scripts.core.chunks import Arrays, ChunkedWork
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import EXTRACTOR_INFO, read_document, read_npz, sha256_file, write_npz
from workflow_scripts.core.step import Step, run
from workflow_scripts.metrics.extractors import BATCH_SIZE, Extractor, load_extractor
from workflow_scripts.training.device import device_of

# Whole batches.
CHUNK_SIZE = 5 * BATCH_SIZE


def main(step: Step) -> None:
    """Extract batch by batch and write one array of each kind."""
    samples, weights = step.input("samples"), step.input("weights")
    (images,) = read_npz(samples, "images")

    @cache
    def extractor() -> Extractor:
        """Load the extractor for the first missing chunk."""
        expected = read_document(step.input("info"), EXTRACTOR_INFO)["extractor_sha256"]
        return load_extractor(step.setting("extractor"), weights, expected, lambda: device_of(step))

    def extract(chunk: range, on_images: Callable[[int], None]) -> Arrays:
        arrays = extractor().in_batches(images[chunk.start : chunk.stop], on_images)
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise PipelineError(f"features of {samples} are not finite; check the extractor's weights")
        return arrays

    key = {
        "extractor": step.setting("extractor"),
        "samples": sha256_file(samples),
        "weights": sha256_file(weights),
        "code": step.code_sha256,
    }
    work = ChunkedWork(step, "features", len(images), CHUNK_SIZE, key)
    chunks = work.complete(extract, "features")
    # Of a run that diverged there are no images.
    none = [{"features": np.empty((0, step.setting("extractor.feature_dim")), dtype=np.float32)}]
    arrays = {name: np.concatenate([chunk[name] for chunk in chunks or none]) for name in (chunks or none)[0]}
    if step.settings.get("predicted"):
        arrays["predicted"] = extractor().classes(arrays["features"])
    write_npz(step.output("features"), **arrays)


if __name__ == "__main__":
    run(main)
