"""Datasets by name: `settings["data"]` in, checked arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from workflow_scripts.common.errors import ConfigError, PipelineError
from workflow_scripts.data import cifar10, digits
from workflow_scripts.data.dataset import Dataset, Split

LOADERS = {"cifar10": cifar10.load, "digits": digits.load}


def load_source(settings_data: Mapping[str, Any]) -> Dataset:
    """Load `data.source`, split it and keep the first `num_train` and `num_test` images (null: all there are).

    ConfigError, naming the key, when the settings do not fit the dataset; PipelineError when it cannot be had.
    """
    name = settings_data["source"]
    if name not in LOADERS:
        raise ConfigError(f"data.source: unknown source {name!r}; known are {', '.join(sorted(LOADERS))}")
    dataset = LOADERS[name](settings_data)
    _check(dataset, settings_data)
    return replace(
        dataset,
        train=_first(dataset.train, settings_data["num_train"], "data.num_train"),
        test=_first(dataset.test, settings_data["num_test"], "data.num_test"),
    )


def _first(split: Split, count: int | None, key: str) -> Split:
    if count is None:
        return split
    available = len(split.images)
    if not 1 <= count <= available:
        raise ConfigError(f"{key}: asked for {count} images, can be 1 to {available}, or null for all")
    return Split(split.images[:count], split.labels[:count])


def _check(dataset: Dataset, settings_data: Mapping[str, Any]) -> None:
    source, num_classes = settings_data["source"], len(dataset.classes)
    if settings_data["num_classes"] != num_classes:
        raise ConfigError(f"data.num_classes: {settings_data['num_classes']}, but {source} has {num_classes}")
    expected = (settings_data["image_size"], settings_data["image_size"], settings_data["channels"])
    for split in (dataset.train, dataset.test):
        images, labels = split.images, split.labels
        if images.dtype != np.uint8 or labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise PipelineError(
                f"data.source {source} gave images {images.dtype} {list(images.shape)} and labels {labels.dtype} "
                f"{list(labels.shape)}; expected uint8 [N, H, W, C] and int64 [N]"
            )
        if images.shape[1:] != expected:
            raise ConfigError(
                f"data.image_size, data.channels: images of {expected} expected, {source} has {images.shape[1:]}"
            )
        if not np.isin(labels, np.arange(num_classes)).all():
            raise PipelineError(f"data.source {source} has labels outside 0..{num_classes - 1}")
