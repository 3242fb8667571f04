"""A user's own images: a folder, .zip or .tar(.gz, .xz) laid out `<class>/*` or `{train,test}/<class>/*`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.randomness import stream
from workflow_scripts.core.source_files import LAYOUT, require_source
from workflow_scripts.data.archives import read_members
from workflow_scripts.data.dataset import Dataset, Split
from workflow_scripts.data.pictures import MODES, SUFFIXES, Rule, decode

# What people call the parts of a dataset; a class of that name is believed below {train,test}/ only.
_PARTS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}


def load(settings_data: Mapping[str, Any], root: Path, on_images: Callable[[int], None]) -> Dataset:
    """Load the images of the folder or archive `data.path` below `root`, each part shuffled by `split_seed`.

    Folders around the layout do not matter; hidden files and, outside the class folders, files without an
    image's suffix are left out. Classes are the class folders, sorted by name; there are neither folders nor
    labels where `data.num_classes` is null. `on_images(count)` is called after every image. PipelineError,
    naming the file or member, for anything damaged, unsafe, ambiguous or mixed, and for an empty class.
    """
    path = root / settings_data["path"]
    sources = require_source(path, settings_data.get("sha256"))
    rule = Rule(settings_data["image_size"], settings_data["channels"], settings_data.get("resize"))
    images, mode, folders, others = _read(path, rule, on_images)
    labelled = settings_data["num_classes"] is not None
    parts = _parts(path, images, labelled)
    classes = _classes(path, parts, folders if labelled else [], others)
    from_train = settings_data.get("test_split") == "from_train"
    if not from_train and "test" not in parts:
        raise PipelineError(
            f"{path} has no test part; lay it out {{train,test}}/{'<class>/' if labelled else ''}*, or set "
            "data.test_split: from_train, which splits data.num_test images off the training images"
        )

    def split(part: str) -> Split:
        names = sorted(name for folder in parts[part] for name in parts[part][folder])
        chosen = stream(settings_data["split_seed"], f"order_{part}").permutation(len(names))
        labels = np.array([classes.index(PurePosixPath(name).parent.name) for name in names], dtype=np.int64)
        labels = labels[chosen] if labelled else None
        return Split(np.stack([images[names[index]] for index in chosen]), labels)

    return Dataset(
        train=split("train"),
        test=None if from_train else split("test"),
        classes=classes if labelled else (),
        origin=settings_data["path"],
        licence=settings_data.get("licence", "not stated"),
        preparation=rule.describe(mode),
        sources=tuple(sources),
    )


def _read(
    path: Path, rule: Rule, on_images: Callable[[int], None]
) -> tuple[dict[str, np.ndarray], str, list[str], list[str]]:
    """Return arrays by name, the mode that all images were stored in, names of folders and of other files."""
    images: dict[str, np.ndarray] = {}
    folders, others = [], []
    first_mode, first_name = "", ""
    for member in read_members(path, wanted=lambda name: name.lower().endswith(SUFFIXES)):
        if member.content is None:
            (folders if member.is_folder else others).append(member.name)
            continue
        images[member.name], mode = decode(member.content, rule, f"{path}: {member.name!r}")
        if not first_mode:
            first_mode, first_name = mode, member.name
        if mode != first_mode:
            raise PipelineError(
                f"{path}: {member.name!r} is {MODES[mode]}, {first_name!r} is {MODES[first_mode]}; "
                "make all images the same"
            )
        on_images(len(images))
    if not images:
        raise PipelineError(f"{path} holds no image ({', '.join(SUFFIXES)}); lay images out {LAYOUT}")
    return images, first_mode, folders, others


def _parts(path: Path, names: Iterable[str], labelled: bool) -> dict[str, dict[str, list[str]]]:
    """Group names by part (train, test) and folder, a class's if `labelled`; without parts, all `train`."""
    by_base: dict[PurePosixPath, dict[str, list[str]]] = {}
    for name in names:
        folder = PurePosixPath(name).parent
        if labelled and folder == PurePosixPath("."):
            raise PipelineError(f"{path}: {name!r} lies outside the class folders; lay images out {LAYOUT}")
        by_base.setdefault(folder.parent if labelled else folder, {}).setdefault(str(folder), []).append(name)
    bases = sorted(by_base)
    if len(bases) == 1:
        found = {PurePosixPath(folder).name.lower(): folder for folder in by_base[bases[0]]}
        if labelled and (found.keys() <= _PARTS or not found.keys().isdisjoint(("train", "test"))):
            folder = min(found[name] for name in found.keys() & _PARTS)
            raise PipelineError(
                f"{path}: {folder!r} is a part, not a class; lay images out {{train,test}}/<class>/*, or "
                "use them without labels: data.num_classes: null, with an extractor of kind rotations"
            )
        return {"train": by_base[bases[0]]}
    if [base.name for base in bases] == ["test", "train"] and bases[0].parent == bases[1].parent:
        return {base.name: by_base[base] for base in bases}
    examples = ", ".join(repr(min(min(names) for names in by_base[base].values())) for base in bases[:3])
    raise PipelineError(f"{path} is not laid out {LAYOUT}: there are images such as {examples}")


def _classes(
    path: Path, parts: Mapping[str, Mapping[str, list[str]]], folders: list[str], others: list[str]
) -> tuple[str, ...]:
    """The class names, sorted; PipelineError for a class without images and for other files among images."""
    class_folders = {PurePosixPath(folder) for part in parts.values() for folder in part}
    bases = {folder.parent for folder in class_folders}
    empty = {folder for folder in map(PurePosixPath, folders) if folder.parent in bases} - class_folders
    names = sorted({folder.name for folder in class_folders | empty})
    for folder in sorted(base / name for base in bases for name in names):
        if folder not in class_folders:
            raise PipelineError(f"{path}: '{folder}' holds no image; every class needs some in every part")
    for name in sorted(others):
        if PurePosixPath(name).parent in class_folders:
            raise PipelineError(f"{path}: {name!r} is not an image ({', '.join(SUFFIXES)}); remove it")
    return tuple(names)
