"""The reference statistics, and distances between known sets of images as a scale for readers."""

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

# Fixed: the marks depend on dataset and extractor only.
SEED = 0
# Kernel distance, precision and recall cost the product of both counts.
MAX_REFERENCE_FEATURES = 10_000


@dataclass(frozen=True)
class Reference:
    """Statistics of all training images, and features f32 [M, D] of some of them."""

    statistics: GaussianStatistics
    features: np.ndarray


def reference_and_scale_marks(
    extract: FeatureFunction,
    train: np.ndarray,
    test: np.ndarray,
    feature_dim: int,
    on_images: Callable[[int], None] = lambda done: None,
) -> tuple[Reference, list[dict[str, Any]]]:
    """Compute the reference, and the distances of halves of the training set, test images and noise.

    The reference's features are those of at most 10,000 random training images; images are u8 [N, H, W, C]. A
    mark has `id`, `label`, `value` and `num_samples` (images on its smaller side). The distance is biased
    upwards, more so for fewer images (Chong and Forsyth 2020): every label gives both counts, and there are
    as many noise as test images. `on_images(done)` counts up to `num_images(train, test)`. PipelineError when
    a side is too small for a covariance.
    """
    if len(train) < 4 or len(test) < 2:
        raise PipelineError(
            f"scale marks need 4 training and 2 test images, got {len(train)} and {len(test)}"
        )
    in_first_half = _random_mask("scale_mark_halves", len(train), len(train) // 2)
    kept = _random_mask("reference_features", len(train), MAX_REFERENCE_FEATURES)
    halves = (StreamingStatistics(feature_dim), StreamingStatistics(feature_dim))
    kept_features = []
    done = 0
    for features in iterate_features(extract, train):
        rows = slice(done, done + len(features))
        halves[0].update(features[in_first_half[rows]])
        halves[1].update(features[~in_first_half[rows]])
        kept_features.append(features[kept[rows]])
        done = rows.stop
        on_images(done)
    all_train = StreamingStatistics(feature_dim)
    for half in halves:
        all_train.merge(half)
    reference = all_train.result()
    first, second = (half.result() for half in halves)
    marks = [
        {
            "id": "train_half_vs_half",
            "label": f"{first.count:,} training images against the other {second.count:,}",
            "value": frechet_distance(first, second),
            "num_samples": min(first.count, second.count),
        }
    ]
    for id_, label, images in (
        ("test_vs_train", "test images", lambda: test),
        ("uniform_noise", "images of uniform noise", lambda: _uniform_noise_like(test)),
        (
            "gaussian_noise",
            "images of Gaussian noise, from which sampling starts,",
            lambda: _gaussian_noise_like(test),
        ),
    ):
        streaming = StreamingStatistics(feature_dim)
        for features in iterate_features(extract, images()):
            streaming.update(features)
            on_images(done + streaming.count)
        done += streaming.count
        marks.append(
            {
                "id": id_,
                "label": f"{len(test):,} {label} against all {len(train):,} training images",
                "value": frechet_distance(streaming.result(), reference),
                "num_samples": min(len(test), len(train)),
            }
        )
    return Reference(reference, np.concatenate(kept_features)), marks


def num_images(train: np.ndarray, test: np.ndarray) -> int:
    """How many images `reference_and_scale_marks` passes through the extractor."""
    return len(train) + 3 * len(test)


def _random_mask(purpose: str, total: int, count: int) -> np.ndarray:
    mask = np.zeros(total, dtype=bool)
    mask[stream(SEED, purpose).permutation(total)[:count]] = True
    return mask


def _uniform_noise_like(images: np.ndarray) -> np.ndarray:
    return stream(SEED, "scale_mark_noise").integers(0, 256, size=images.shape, dtype=np.uint8)


def _gaussian_noise_like(images: np.ndarray) -> np.ndarray:
    """Standard normal on the networks' scale, where u8 spans [-1, 1], clipped to it."""
    generator, levels = stream(SEED, "scale_mark_gaussian_noise"), np.empty_like(images)
    for start in range(0, len(levels), BATCH_SIZE):  # one batch of floats in memory at a time
        batch = levels[start : start + BATCH_SIZE]
        noise = generator.standard_normal(batch.shape, dtype=np.float32)
        batch[:] = np.rint((noise + 1) * 127.5).clip(0, 255)
    return levels
