"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32x32 pixels, from its Python archive."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.download import download
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import write_bytes
from workflow_scripts.core.source_files import SourceFile
from workflow_scripts.data.archives import MAX_FILE_BYTES, iterate_members
from workflow_scripts.data.dataset import Dataset, Split
from workflow_scripts.data.python2_pickle import read_pickle

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
MAX_ARCHIVE_BYTES = 2**28  # it has 170,498,071
FOLDER = "cifar-10-batches-py"
FILES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
NAMES = "batches.meta"
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}


def load(settings_data: Mapping[str, Any], root: Path) -> Dataset:
    """The official split, in the official order, from `root`; downloaded there when `download` is true.

    The files are read from the folder that the archive unpacks to, or else from the archive itself, unpacking nothing;
    the md5 of each must be the published one. PipelineError, saying what belongs where, when one is missing or altered.
    """
    contents = _contents(root, settings_data.get("download", False))

    def split(part: str) -> Split:
        batches = [read_pickle(contents[name], name) for name in FILES[part]]
        # rows hold 1024 red, then 1024 green, then 1024 blue values
        images = np.vstack([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = np.array([label for batch in batches for label in batch["labels"]], dtype=np.int64)
        return Split(images, labels)

    used = [*(name for part in FILES.values() for name in part), NAMES]
    return Dataset(
        train=split("train"),
        test=split("test"),
        classes=tuple(read_pickle(contents[NAMES], NAMES)["label_names"]),
        origin=URL,
        licence="no licence stated; cite Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
        preparation="pixels as they are",
        sources=tuple(
            SourceFile(f"{FOLDER}/{name}", len(contents[name]), hashlib.sha256(contents[name]).hexdigest())
            for name in used
        ),
    )


def missing(settings_data: Mapping[str, Any], root: Path) -> list[str]:
    """Where the archive is published, if `load` finds neither it nor what it unpacks to below `root`."""
    unpacked = all((root / FOLDER / name).is_file() for name in MD5)
    return [] if unpacked or (root / ARCHIVE).is_file() else [URL]


def _contents(root: Path, may_download: bool) -> dict[str, bytes]:
    """The bytes of every file by name, checked."""
    archive = root / ARCHIVE
    try:
        contents = _from_folder(root / FOLDER)
        if contents is None:
            if may_download and not archive.is_file():
                write_bytes(archive, download(URL, sha256=ARCHIVE_SHA256, max_bytes=MAX_ARCHIVE_BYTES))
            contents = _from_archive(archive)
        for name, md5 in MD5.items():
            if hashlib.md5(contents[name], usedforsecurity=False).hexdigest() != md5:
                raise PipelineError(f"{FOLDER}/{name} is not the published file")
    except PipelineError as error:
        raise PipelineError(
            f"cannot get CIFAR-10 in {root}: {error}; put {URL} (sha256 {ARCHIVE_SHA256}) at {archive}, or say where data "
            "lies: --config data_root=… (make: DATA=…)"
        ) from error
    return contents


def _from_folder(folder: Path) -> dict[str, bytes] | None:
    """None unless every file is there."""
    paths = {name: folder / name for name in MD5}
    if not all(path.is_file() for path in paths.values()):
        return None
    try:
        large = [name for name, path in paths.items() if path.stat().st_size > MAX_FILE_BYTES]
        if large:
            raise PipelineError(f"{folder / large[0]} is larger than the published file")
        return {name: path.read_bytes() for name, path in paths.items()}
    except OSError as error:
        raise PipelineError(f"cannot read {error.filename}: {error.strerror or error}") from error


def _from_archive(archive: Path) -> dict[str, bytes]:
    wanted = {f"{FOLDER}/{name}": name for name in MD5}
    found = {
        wanted[member.name]: member.content
        for member in iterate_members(archive, wanted.__contains__)
        if member.content is not None
    }
    if missing := sorted(MD5.keys() - found.keys()):
        raise PipelineError(f"{archive} holds no {FOLDER}/{missing[0]}")
    return found
