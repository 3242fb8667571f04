"""Datasets by name: `settings["data"]` and the folder where data lies in, checked arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.errors import ConfigError, PipelineError
from workflow_scripts.data import cifar10, digits, image_folder, mnist
from workflow_scripts.data.dataset import Dataset, Split
from workflow_scripts.data.splitting import stratified_split

Loader = Callable[[Mapping[str, Any], Path, Callable[[int], None]], Dataset]
LOADERS: dict[str, Loader] = {
    "cifar10": lambda settings, root, on_images: cifar10.load(settings, root),
    "digits": lambda settings, root, on_images: digits.load(settings),
    "image_folder": image_folder.load,
    "mnist": lambda settings, root, on_images: mnist.load(settings, root),
}


# Sources whose files are published, and what says which of them are not there yet.
MISSING: dict[str, Callable[[Mapping[str, Any], Path], list[str]]] = {
    "cifar10": cifar10.missing,
    "mnist": mnist.missing,
}


def to_download(settings_data: Mapping[str, Any], root: Path) -> list[str]:
    """The addresses of the files that `load_source` would download before it loads anything."""
    missing = MISSING.get(settings_data["source"])
    return missing(settings_data, root) if missing and settings_data.get("download", False) else []


def load_source(
    settings_data: Mapping[str, Any], root: Path, on_images: Callable[[int], None] = lambda count: None
) -> Dataset:
    """Load `data.source` below `root`, split it and keep the first `num_train` and `num_test` images (null: all).

    Where the source has no test part, `num_test` images are split off its training images by `split_seed`, stratified.
    `on_images(count)` counts images where there is decoding to do. ConfigError, naming the key, when the settings do not
    fit the dataset; PipelineError when it cannot be had.
    """
    name = settings_data["source"]
    if name not in LOADERS:
        raise ConfigError(f"data.source: unknown source {name!r}; known are {', '.join(sorted(LOADERS))}")
    dataset = LOADERS[name](settings_data, root, on_images)
    _check(dataset, settings_data)
    if dataset.test is None:
        dataset = _split_off_test(dataset, settings_data)
    return replace(
        dataset,
        train=_first(dataset.train, settings_data["num_train"], "data.num_train"),
        test=_first(dataset.test, settings_data["num_test"], "data.num_test"),
    )


def _split_off_test(dataset: Dataset, settings_data: Mapping[str, Any]) -> Dataset:
    images, labels = dataset.train.images, dataset.train.labels
    train, test = stratified_split(labels, settings_data["num_test"], settings_data["split_seed"])
    return replace(
        dataset,
        train=Split(images[train], labels[train]),
        test=Split(images[test], labels[test]),
        preparation=f"{dataset.preparation}; test images split off the training images by seed",
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
    for split in filter(None, (dataset.train, dataset.test)):
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
