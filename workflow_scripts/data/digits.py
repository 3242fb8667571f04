"""scikit-learn's handwritten digits: 1,797 real scans of 8x8 pixels that come with the package, no download."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from workflow_scripts.common.errors import ConfigError
from workflow_scripts.common.randomness import stream
from workflow_scripts.data.dataset import Dataset, Split


def load(settings_data: Mapping[str, Any]) -> Dataset:
    """All 1,797 digits, `num_test` of them (stratified by `split_seed`) for testing, the others shuffled for training.

    Grey levels 0..16 become u8 by round(v * 255 / 16). ConfigError when `num_test` leaves a class without images.
    """
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images = np.round(loaded.images * 255.0 / 16.0).astype(np.uint8)[..., None]
    labels = loaded.target.astype(np.int64)
    train, test = stratified_split(labels, settings_data["num_test"], settings_data["split_seed"])
    return Dataset(
        train=Split(images[train], labels[train]),
        test=Split(images[test], labels[test]),
        classes=tuple(str(name) for name in loaded.target_names),
        origin="scikit-learn load_digits (UCI Optical Recognition of Handwritten Digits, test part, E. Alpaydin 1998)",
        licence="CC BY 4.0 (UCI Machine Learning Repository)",
    )


def stratified_split(labels: np.ndarray, num_test: int | None, split_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (train, test), each in random order; every class has its share of the `num_test` test images.

    The shares are rounded by largest remainder, so that they add up. ConfigError when num_test is null or leaves a
    class without a training or test image.
    """
    if num_test is None:
        raise ConfigError("data.num_test: must be a number for a dataset without an official test part")
    classes, counts = np.unique(labels, return_counts=True)
    shares = num_test * counts / len(labels)
    quotas = np.floor(shares).astype(np.int64)
    quotas[np.argsort(quotas - shares, kind="stable")[: num_test - quotas.sum()]] += 1
    if (quotas < 1).any() or (quotas >= counts).any():
        raise ConfigError(
            f"data.num_test: with {num_test} of {len(labels)} images a class has none for training or none for testing"
        )
    order = stream(split_seed, "split").permutation(len(labels))
    in_test = np.zeros(len(labels), dtype=bool)
    for name, quota in zip(classes, quotas):
        in_test[order[labels[order] == name][:quota]] = True
    return order[~in_test[order]], order[in_test[order]]
