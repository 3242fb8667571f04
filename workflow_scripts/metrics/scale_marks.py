"""The reference statistics, and distances between known sets of images that tell a reader how large a distance is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.randomness import stream
from workflow_scripts.metrics.extractors import BATCH_SIZE, FeatureFunction, iterate_features
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.statistics import GaussianStatistics, StreamingStatistics

# Fixed: the marks belong to dataset and extractor, and no run or setting may move them.
SEED = 0
# Kernel distance, precision and recall compare single vectors, and cost the product of both counts.
MAX_REFERENCE_FEATURES = 10_000


@dataclass(frozen=True)
class Reference:
    """What generated images are compared with: statistics of all training images, features f32 [M, D] of some."""

    statistics: GaussianStatistics
    features: np.ndarray


def reference_and_scale_marks(
    extract: FeatureFunction,
    train: np.ndarray,
    test: np.ndarray,
    feature_dim: int,
    on_images: Callable[[int], None] = lambda done: None,
) -> tuple[Reference, list[dict[str, Any]]]:
    """The reference, and the marks `train_half_vs_half`, `test_vs_train`, `uniform_noise`, `gaussian_noise`.

    The reference's features are those of at most 10,000 training images, drawn at random. Images are u8 [N, H, W, C].
    Each mark has `id`, `label`, `value` and `num_samples` (images on its smaller side). The distance is biased upwards,
    more so for fewer images (Chong and Forsyth 2020), so every label gives both counts, and there is as much noise as
    there are test images. `on_images(done)` counts images, of `num_images(train, test)`.
    PipelineError when a side is too small for a covariance.
    """
    if len(train) < 4 or len(test) < 2:
        raise PipelineError(
            f"scale marks need 4 training and 2 test images, got {len(train)} and {len(test)}"
        )
    chosen = np.zeros(len(train), dtype=bool)
    chosen[stream(SEED, "scale_mark_halves").permutation(len(train))[: len(train) // 2]] = True
    halves = (StreamingStatistics(feature_dim), StreamingStatistics(feature_dim))
    kept = np.zeros(len(train), dtype=bool)
    kept[stream(SEED, "reference_features").permutation(len(train))[:MAX_REFERENCE_FEATURES]] = True
    kept_features = np.empty((kept.sum(), feature_dim), dtype=np.float32)
    done = num_kept = 0
    for features in iterate_features(extract, train):
        mask = chosen[done : done + len(features)]
        halves[0].update(features[mask])
        halves[1].update(features[~mask])
        keep = features[kept[done : done + len(features)]]
        kept_features[num_kept : num_kept + len(keep)] = keep
        done, num_kept = done + len(features), num_kept + len(keep)
        on_images(done)
    all_train = StreamingStatistics(feature_dim)
    all_train.merge(halves[0])
    all_train.merge(halves[1])
    reference = all_train.result()

    def distance_to_train(images: np.ndarray, done: int) -> float:
        streaming = StreamingStatistics(feature_dim)
        for features in iterate_features(extract, images):
            streaming.update(features)
            on_images(done + streaming.count)
        return frechet_distance(streaming.result(), reference)

    first, second = (half.result() for half in halves)
    every = f"all {len(train):,} training images"
    return Reference(reference, kept_features), [
        {
            "id": "train_half_vs_half",
            "label": f"{first.count:,} training images against the other {second.count:,}",
            "value": frechet_distance(first, second),
            "num_samples": min(first.count, second.count),
        },
        {
            "id": "test_vs_train",
            "label": f"{len(test):,} test images against {every}",
            "value": distance_to_train(test, len(train)),
            "num_samples": min(len(test), len(train)),
        },
        {
            "id": "uniform_noise",
            "label": f"{len(test):,} images of uniform noise against {every}",
            "value": distance_to_train(_uniform_noise_like(test), len(train) + len(test)),
            "num_samples": min(len(test), len(train)),
        },
        {
            "id": "gaussian_noise",
            "label": f"{len(test):,} images of Gaussian noise, from which sampling starts, against {every}",
            "value": distance_to_train(_gaussian_noise_like(test), len(train) + 2 * len(test)),
            "num_samples": min(len(test), len(train)),
        },
    ]


def num_images(train: np.ndarray, test: np.ndarray) -> int:
    """How many images `reference_and_scale_marks` passes through the extractor."""
    return len(train) + 3 * len(test)


def _uniform_noise_like(images: np.ndarray) -> np.ndarray:
    return stream(SEED, "scale_mark_noise").integers(0, 256, size=images.shape, dtype=np.uint8)


def _gaussian_noise_like(images: np.ndarray) -> np.ndarray:
    """Standard normal in the networks' scale, [-1, 1] for all of u8, and cut to it."""
    generator, levels = stream(SEED, "scale_mark_gaussian_noise"), np.empty_like(images)
    for batch in np.array_split(
        levels, range(BATCH_SIZE, len(levels), BATCH_SIZE)
    ):  # floats of one batch, never of all
        noise = generator.standard_normal(batch.shape, dtype=np.float32)
        batch[:] = np.rint((noise + 1) * 127.5).clip(0, 255)
    return levels
