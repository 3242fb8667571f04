"""MNIST (LeCun, Cortes, Burges 1998): 60,000 training and 10,000 test images of 28x28 pixels, from its IDX files."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.download import download
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import write_bytes
from workflow_scripts.core.source_files import describe_file
from workflow_scripts.data.dataset import Dataset, Split

URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Of the unpacked files: how a file was compressed says nothing about its content.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
# Of the packed files, as URL has them.
PACKED_SHA256 = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
FOLDERS = ("", "mnist", "MNIST/raw")  # below the data root; the last is where torchvision puts them
MAX_FILE_BYTES = 64 * 2**20  # the largest official file has 47,040,016


def load(settings_data: Mapping[str, Any], root: Path) -> Dataset:
    """The official split in the official order, from IDX files (plain or .gz) below `root`, each checked by its md5.

    Missing files are downloaded into `root`/mnist when `download` is true. With `test_split: from_train` only
    the training files are needed, and `test` is None. PipelineError, saying which file belongs where, when a file is
    missing, damaged or not the official one.
    """
    from_train = settings_data.get("test_split") == "from_train"
    failure = _download(root, _missing(settings_data, root)) if settings_data.get("download", False) else ""
    paths = {name: _find(root, name) for name in _names(settings_data)}
    for name, path in paths.items():
        if path is None:
            otherwise = "" if name in FILES["train"] else ", or set data.test_split: from_train"
            raise PipelineError(
                f"cannot get MNIST's {name} in {root}{failure}; put {URL}{name}.gz (unpacked: md5 {MD5[name]}) at "
                f"{root / 'mnist' / name}.gz, or say where data lies: --config data_root=… (make: DATA=…){otherwise}"
            )

    def split(part: str) -> Split:
        images, labels = (_read_idx(paths[name], name) for name in FILES[part])
        return Split(images[..., None], labels.astype(np.int64))

    return Dataset(
        train=split("train"),
        test=None if from_train else split("test"),
        classes=tuple("0123456789"),
        origin=URL,
        licence="CC BY-SA 3.0 (Y. LeCun, C. Cortes; derived from NIST's Special Databases 1 and 3)",
        preparation="grey levels as they are",
        sources=tuple(describe_file(path) for path in paths.values()),
    )


def missing(settings_data: Mapping[str, Any], root: Path) -> list[str]:
    """Where the files that `load` does not find below `root` are published."""
    return [f"{URL}{name}.gz" for name in _missing(settings_data, root)]


def _names(settings_data: Mapping[str, Any]) -> list[str]:
    """The files that are needed."""
    from_train = settings_data.get("test_split") == "from_train"
    return [name for part in FILES if not (from_train and part == "test") for name in FILES[part]]


def _missing(settings_data: Mapping[str, Any], root: Path) -> list[str]:
    return [name for name in _names(settings_data) if _find(root, name) is None]


def _find(root: Path, name: str) -> Path | None:
    """The first place that has the file, plain or compressed."""
    candidates = (root / folder / f"{name}{suffix}" for folder in FOLDERS for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _download(root: Path, names: list[str]) -> str:
    """Fetch the files; returns what went wrong, in words to go on with, or nothing."""
    try:
        for name in names:
            packed = download(f"{URL}{name}.gz", sha256=PACKED_SHA256[name], max_bytes=MAX_FILE_BYTES)
            write_bytes(root / "mnist" / f"{name}.gz", packed)
    except PipelineError as error:
        return f": {error}"
    return ""


def _read_idx(path: Path, name: str) -> np.ndarray:
    """The array u8 of an IDX file: a magic number that ends with the number of axes, each axis' length, the values."""
    try:
        with open(path, "rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else open(path, "rb") as handle:
            content = handle.read(MAX_FILE_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{path} is truncated or damaged ({error}); get {URL}{name}.gz again") from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != MD5[name]:
        raise PipelineError(
            f"{path} is not MNIST's {name}: unpacked it has md5 {found}, the official file {MD5[name]}; get {URL}{name}.gz"
        )
    num_axes = content[3] if len(content) > 3 else 0
    if num_axes not in (1, 3) or len(content) < (start := 4 + 4 * num_axes):
        raise PipelineError(f"{path} is no IDX file of images or labels; get {URL}{name}.gz")
    shape = [int(side) for side in np.frombuffer(content, dtype=">u4", count=num_axes, offset=4)]
    if len(content) != start + math.prod(shape):
        raise PipelineError(
            f"{path} holds {len(content) - start:,} values, its head says {shape}; get {URL}{name}.gz"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
