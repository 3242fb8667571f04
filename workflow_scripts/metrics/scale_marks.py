"""The reference statistics, and distances between known sets of images as a scale for readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.randomness import stream
from workflow_scripts.metrics.extractors import BATCH_SIZE
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.statistics import GaussianStatistics, StreamingStatistics

# Fixed: the marks depend on dataset and extractor only.
SEED = 0
# Kernel distance, precision and recall cost the product of both counts.
MAX_REFERENCE_FEATURES = 10_000


def reference_and_scale_marks(
    extract: Callable[[np.ndarray], np.ndarray],
    train: np.ndarray,
    test: np.ndarray,
    feature_dim: int,
    on_images: Callable[[int], None] = lambda done: None,
) -> tuple[GaussianStatistics, np.ndarray, list[dict[str, Any]]]:
    """Return the training images' statistics, features f32 [M, D] of some of them, and the scale marks.

    M is at most 10,000, chosen at random; images are u8 [N, H, W, C]. A mark is a distance between two halves
    of the training set, or from test images or noise to the training set: `id`, `label`, `value` and
    `num_samples` (images on its smaller side). The distance is biased upwards, more so for fewer images
    (Chong and Forsyth 2020): every label gives both counts, and there are as many noise as test images.
    `on_images(done)` counts up to `num_images(train, test)`. PipelineError when a side is too small for a
    covariance.
    """
    if len(train) < 4 or len(test) < 2:
        raise PipelineError(f"scale marks need 4 training, 2 test images, got {len(train)} and {len(test)}")
    in_first_half = _random_mask("scale_mark_halves", len(train), len(train) // 2)
    kept = _random_mask("reference_features", len(train), MAX_REFERENCE_FEATURES)
    halves = (StreamingStatistics(feature_dim), StreamingStatistics(feature_dim))
    kept_features = []
    done = 0
    for features in _batches(extract, train):
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
    label = f"{first.count:,} training images against the other {second.count:,}"
    marks = [_mark("train_half_vs_half", label, first, second)]
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
        for features in _batches(extract, images()):
            streaming.update(features)
            on_images(done + streaming.count)
        done += streaming.count
        label = f"{len(test):,} {label} against all {len(train):,} training images"
        marks.append(_mark(id_, label, streaming.result(), reference))
    return reference, np.concatenate(kept_features), marks


def num_images(train: np.ndarray, test: np.ndarray) -> int:
    """How many images `reference_and_scale_marks` passes through the extractor."""
    return len(train) + 3 * len(test)


def _batches(extract: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), BATCH_SIZE):
        yield extract(images[start : start + BATCH_SIZE])


def _mark(id_: str, label: str, first: GaussianStatistics, second: GaussianStatistics) -> dict[str, Any]:
    value = frechet_distance(first, second)
    return {"id": id_, "label": label, "value": value, "num_samples": min(first.count, second.count)}


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
