"""From data settings to the three files every later step reads: train.npz, test.npz and manifest.json."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core import registry
from workflow_scripts.core.errors import ConfigError, PipelineError
from workflow_scripts.core.files import write_json, write_npz
from workflow_scripts.core.randomness import stream
from workflow_scripts.core.source_files import combined_sha256, require_source
from workflow_scripts.data import image_folder, published
from workflow_scripts.data.dataset import Dataset, Split, require_arrays
from workflow_scripts.data.stacked import stacked

Settings = Mapping[str, Any]
OnImages = Callable[[int], None]

LOADERS: dict[str, Callable[[Settings, Path, OnImages], Dataset]] = {
    "cifar10": lambda settings, root, on_images: published.load_cifar10(settings, root),
    "digits": lambda settings, root, on_images: published.load_digits(),
    "digits_stacked": lambda settings, root, on_images: _stacked(settings, published.load_digits(), 297),
    "image_folder": image_folder.load,
    "mnist": lambda settings, root, on_images: published.load_mnist(settings, root),
    "mnist_stacked": lambda settings, root, on_images: _stacked(
        settings, published.load_mnist(settings, root), 10_000
    ),
}


def require_files(settings_data: Settings, root: Path) -> None:
    """Find the dataset's files below `root`, or download them where that is allowed, and check their sums.

    A user's own images are only hashed, not decoded. PipelineError, saying what to put where.
    """
    source = settings_data["source"]
    if "path" in settings_data:
        require_source(root / settings_data["path"], settings_data.get("sha256"))
    elif source in ("mnist", "mnist_stacked"):
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
    warn: Callable[[str], None] = lambda line: None,
    least_train: int = 0,
) -> dict[str, Any]:
    """Load and check the dataset from below `root`, write the three files, and return the manifest.

    `warn` is called if test images are training images too. ConfigError for fewer than `least_train` training
    images, which steps after training need.
    """
    dataset = load_source(settings_data, root, on_images)
    if (count := len(dataset.train.images)) < least_train:
        raise ConfigError(
            f"{settings_data['title']} has {count} training images, and steps after training need "
            f"{least_train}; lower the batch sizes in the curvature section, or get more images"
        )
    seen = set(map(content_sha256, dataset.train.images))
    if count := sum(content_sha256(image) in seen for image in dataset.test.images):
        warn(
            f"warning: {count} of {len(dataset.test.images)} test images are training images too; "
            "remove them from one part, or what is judged on them looks better than it is"
        )
    described = describe(dataset, settings_data)
    write_npz(train, **dataset.train.arrays())
    write_npz(test, **dataset.test.arrays())
    write_json(manifest, described)
    return described


def load_source(settings_data: Settings, root: Path, on_images: OnImages = lambda count: None) -> Dataset:
    """Load `data.source` from below `root`; keep the first `num_train` and `num_test` images (null: all).

    A dataset without a test part gets one from `stratified_split`. `on_images(count)` is called as images are
    decoded. ConfigError when the settings do not fit the dataset; PipelineError when it cannot be read.
    """
    load = LOADERS.get(settings_data["source"], _load_own)
    dataset = load(settings_data, root, on_images)
    _require_match(dataset, settings_data)
    if dataset.test is None:
        dataset = _split_off_test(dataset, settings_data["num_test"], settings_data["split_seed"])
    return replace(
        dataset,
        train=_first(dataset.train, settings_data["num_train"], "data.num_train"),
        test=_first(dataset.test, settings_data["num_test"], "data.num_test"),
    )


def _load_own(settings_data: Settings, root: Path, on_images: OnImages) -> Dataset:
    """Call a user's function with `root` and the settings that it takes; `data.path`, if set, is its source.

    PipelineError unless it returns {"train": {...}, "test": {...}} with the arrays of a Split.
    """
    source = settings_data["source"]
    takes = registry.parameters_of("data.source", source)
    given = {key: value for key, value in settings_data.items() if key in takes}
    path, expected_sha256 = settings_data.get("path"), settings_data.get("sha256")
    sources = () if path is None else require_source(root / path, expected_sha256)
    found = registry.load("data.source", source)(root, **given)
    expected = "return {train, test}, each a dict of images and, in both or none, labels and condition"
    try:
        parts = [Split(**found[part]) for part in ("train", "test")]
        for part, split in zip(("train", "test"), parts):
            require_arrays(split.arrays(), f"data.source {source}: {part}", expected)
        if parts[0].arrays().keys() != parts[1].arrays().keys():
            raise TypeError("the parts hold different arrays")
    except (TypeError, KeyError, AttributeError) as error:
        raise PipelineError(f"data.source {source}: {type(error).__name__}: {error}; {expected}") from error
    labels = [label for split in parts if split.labels is not None for label in split.labels]
    if min(labels, default=0) < 0:
        raise PipelineError(f"data.source {source}: labels are classes and must be 0 or more; {expected}")
    return Dataset(
        *parts,
        classes=tuple(map(str, range(max(labels, default=-1) + 1))),
        origin=source,
        licence=settings_data.get("licence", "not stated"),
        preparation="as its source returns them",
        sources=tuple(sources),
    )


def _require_match(dataset: Dataset, settings_data: Settings) -> None:
    source, num_classes = settings_data["source"], len(dataset.classes)
    if (settings_data["num_classes"] or 0) != num_classes:
        raise ConfigError(f"data.num_classes: {settings_data['num_classes']}, but {source} has {num_classes}")
    expected = (settings_data["image_size"], settings_data["image_size"], settings_data["channels"])
    for split in (dataset.train, dataset.test or dataset.train):
        if (shape := split.images.shape[1:]) != expected:
            raise ConfigError(
                f"data.image_size, data.channels: images of {expected} expected, {source} has {shape}"
            )


def _stacked(settings_data: Settings, digits: Dataset, num_held_out: int) -> Dataset:
    """Stacked digits; those for testing are of the test part, or of `num_held_out` split off by seed."""
    if digits.test is None:
        digits = _split_off_test(digits, num_held_out, settings_data["split_seed"])
    return stacked(digits, *(settings_data[key] for key in ("num_train", "num_test", "split_seed")))


def _split_off_test(dataset: Dataset, num_test: int | None, split_seed: int) -> Dataset:
    images, labels = dataset.train.images, dataset.train.labels
    labels = np.zeros(len(images)) if labels is None else labels  # one class, so to speak
    parts = stratified_split(labels, num_test, split_seed)
    train, test = map(dataset.train.take, parts)
    preparation = f"{dataset.preparation}; test images split off by seed"
    return replace(dataset, train=train, test=test, preparation=preparation)


def stratified_split(
    labels: np.ndarray, num_test: int | None, split_seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw indices (train, test) in random order; every class has its share of the `num_test` test images.

    Shares are rounded by largest remainder, so that they add up. ConfigError when num_test is null or
    leaves a class without a training or test image.
    """
    if num_test is None:
        raise ConfigError("data.num_test: must be a number for a dataset without an official test part")
    classes, counts = np.unique(labels, return_counts=True)
    shares = num_test * counts / len(labels)
    quotas = np.floor(shares).astype(np.int64)
    quotas[np.argsort(quotas - shares, kind="stable")[: num_test - quotas.sum()]] += 1
    if (quotas < 1).any() or (quotas >= counts).any():
        raise ConfigError(
            f"data.num_test: {num_test} of {len(labels)} leave a class without a training or test image"
        )
    order = stream(split_seed, "split").permutation(len(labels))
    in_test = np.zeros(len(labels), dtype=bool)
    for name, quota in zip(classes, quotas):
        in_test[order[labels[order] == name][:quota]] = True
    return order[~in_test[order]], order[in_test[order]]


def _first(split: Split, count: int | None, key: str) -> Split:
    if count is None:
        return split
    available = len(split.images)
    if not 1 <= count <= available:
        raise ConfigError(f"{key}: asked for {count} images, can be 1 to {available}, or null for all")
    return split.take(slice(count))


def describe(dataset: Dataset, settings_data: Settings) -> dict[str, Any]:
    """Return the manifest; it names no folder of the machine."""
    return {
        "source": settings_data["source"],
        "title": settings_data["title"],
        "origin": dataset.origin,
        "licence": dataset.licence,
        "preparation": dataset.preparation,
        "shape": [int(side) for side in dataset.train.images.shape[1:]],
        "classes": list(dataset.classes),
        **{
            part: {
                "count": len(split.images),
                "class_counts": [int((split.labels == i).sum()) for i in range(len(dataset.classes))],
                "sha256": content_sha256(*split.arrays().values()),
            }
            for part, split in (("train", dataset.train), ("test", dataset.test))
        },
        "sources": [file._asdict() for file in dataset.sources],
        "sources_sha256": combined_sha256(dataset.sources),
    }


def content_sha256(*arrays: np.ndarray) -> str:
    """sha256 over type, shape and values of the arrays, whatever file they are kept in."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
