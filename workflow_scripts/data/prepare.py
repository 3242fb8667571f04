"""From a source to the three files every later step reads: train.npz, test.npz and manifest.json."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.files import write_json, write_npz
from workflow_scripts.core.source_files import combined_sha256
from workflow_scripts.data.dataset import Dataset, Split
from workflow_scripts.data.sources import load_source


def prepare(
    settings_data: Mapping[str, Any],
    root: Path,
    train: Path,
    test: Path,
    manifest: Path,
    on_images: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:
    """Load and check `settings["data"]` from below `root`, then write the three files; returns the manifest."""
    dataset = load_source(settings_data, root, on_images)
    described = describe(dataset, settings_data)
    write_npz(train, images=dataset.train.images, labels=dataset.train.labels)
    write_npz(test, images=dataset.test.images, labels=dataset.test.labels)
    write_json(manifest, described)
    return described


def describe(dataset: Dataset, settings_data: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest: source, title, origin, licence note, what was done to the images, shape `[H, W, C]`, classes.

    Of each part it holds count and sha256 of the content; of every source file its name, size and sha256, and one digest
    of all of them. It names no folder of the machine.
    """
    return {
        "source": settings_data["source"],
        "title": settings_data["title"],
        "origin": dataset.origin,
        "licence": dataset.licence,
        "preparation": dataset.preparation,
        "shape": [int(side) for side in dataset.train.images.shape[1:]],
        "classes": list(dataset.classes),
        "train": _part(dataset.train, len(dataset.classes)),
        "test": _part(dataset.test, len(dataset.classes)),
        "sources": [file._asdict() for file in dataset.sources],
        "sources_sha256": combined_sha256(dataset.sources),
    }


def content_sha256(images: np.ndarray, labels: np.ndarray) -> str:
    """sha256 over type, shape and values of both arrays: 64 hex digits, whatever file they are kept in."""
    digest = hashlib.sha256()
    for array in (images, labels):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _part(split: Split, num_classes: int) -> dict[str, Any]:
    return {
        "count": len(split.images),
        "class_counts": np.bincount(split.labels, minlength=num_classes).tolist(),
        "sha256": content_sha256(split.images, split.labels),
    }
