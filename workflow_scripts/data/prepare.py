"""From data settings to the three files every later step reads: train.npz, test.npz and manifest.json."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.core.files import write_json, write_npz
from workflow_scripts.core.source_files import combined_sha256, require_source
from workflow_scripts.data import image_folder, published
from workflow_scripts.data.dataset import Dataset, Split, stratified_split

Settings = Mapping[str, Any]
OnImages = Callable[[int], None]

LOADERS: dict[str, Callable[[Settings, Path, OnImages], Dataset]] = {
    "cifar10": lambda settings, root, on_images: published.load_cifar10(settings, root),
    "digits": lambda settings, root, on_images: published.load_digits(settings),
    "image_folder": image_folder.load,
    "mnist": lambda settings, root, on_images: published.load_mnist(settings, root),
}


def require_files(settings_data: Settings, root: Path) -> None:
    """Find the dataset's files below `root` or download them where that is allowed, and check their sums.

    PipelineError, saying what to put where. A user's own images are only looked for and hashed, not decoded.
    """
    source = settings_data["source"]
    if source == "image_folder":
        require_source(root / settings_data["path"], settings_data.get("sha256"))
    elif source == "mnist":
        published.mnist_files(settings_data, root)
    elif source == "cifar10":
        published.cifar10_archive(settings_data, root)


def prepare(
    settings_data: Settings,
    root: Path,
    train: Path,
    test: Path,
    manifest: Path,
    on_images: OnImages = lambda count: None,
) -> dict[str, Any]:
    """Load and check the dataset from below `root`, write the three files, and return the manifest."""
    dataset = load_source(settings_data, root, on_images)
    described = describe(dataset, settings_data)
    write_npz(train, images=dataset.train.images, labels=dataset.train.labels)
    write_npz(test, images=dataset.test.images, labels=dataset.test.labels)
    write_json(manifest, described)
    return described


def load_source(settings_data: Settings, root: Path, on_images: OnImages = lambda count: None) -> Dataset:
    """Load `data.source` from below `root`; keep the first `num_train` and `num_test` images (null: all).

    Where the source has no test part, `num_test` images are split off its training images by `split_seed`,
    stratified. `on_images(count)` is called as images are decoded. ConfigError, naming the key, when the
    settings do not fit the dataset; PipelineError when it cannot be read.
    """
    dataset = LOADERS[settings_data["source"]](settings_data, root, on_images)
    _require_match(dataset, settings_data)
    if dataset.test is None:
        dataset = _split_off_test(dataset, settings_data)
    return replace(
        dataset,
        train=_first(dataset.train, settings_data["num_train"], "data.num_train"),
        test=_first(dataset.test, settings_data["num_test"], "data.num_test"),
    )


def _require_match(dataset: Dataset, settings_data: Settings) -> None:
    source, num_classes = settings_data["source"], len(dataset.classes)
    if settings_data["num_classes"] != num_classes:
        raise ConfigError(f"data.num_classes: {settings_data['num_classes']}, but {source} has {num_classes}")
    expected = (settings_data["image_size"], settings_data["image_size"], settings_data["channels"])
    if (shape := dataset.train.images.shape[1:]) != expected:
        raise ConfigError(
            f"data.image_size, data.channels: images of {expected} expected, {source} has {shape}"
        )


def _split_off_test(dataset: Dataset, settings_data: Settings) -> Dataset:
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


def describe(dataset: Dataset, settings_data: Settings) -> dict[str, Any]:
    """The manifest: source, title, origin, licence, what was done to the images, shape `[H, W, C]`, classes.

    For each part it holds count and sha256 of the content; for every source file its name, size and sha256,
    and one digest of all of them. It names no folder of the machine.
    """
    return {
        "source": settings_data["source"],
        "title": settings_data["title"],
        "origin": dataset.origin,
        "licence": dataset.licence,
        "preparation": dataset.preparation,
        "shape": [int(side) for side in dataset.train.images.shape[1:]],
        "classes": list(dataset.classes),
        "train": _describe_part(dataset.train, len(dataset.classes)),
        "test": _describe_part(dataset.test, len(dataset.classes)),
        "sources": [file._asdict() for file in dataset.sources],
        "sources_sha256": combined_sha256(dataset.sources),
    }


def _describe_part(split: Split, num_classes: int) -> dict[str, Any]:
    return {
        "count": len(split.images),
        "class_counts": np.bincount(split.labels, minlength=num_classes).tolist(),
        "sha256": content_sha256(split.images, split.labels),
    }


def content_sha256(images: np.ndarray, labels: np.ndarray) -> str:
    """sha256 over type, shape and values of both arrays: 64 hex digits, whatever file they are kept in."""
    digest = hashlib.sha256()
    for array in (images, labels):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
