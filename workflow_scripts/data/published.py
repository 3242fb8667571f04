"""The published datasets: scikit-learn's digits, MNIST and CIFAR-10, each in the official order."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.download import download
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_file, write_bytes
from workflow_scripts.core.source_files import describe_file
from workflow_scripts.data.dataset import Dataset, Split

WHERE = "or say where data lies: --config data_root=… (make: DATA=…)"

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Of the unpacked files: how a file was compressed says nothing about its content.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
# Of the packed files at MNIST_URL.
MNIST_PACKED_SHA256 = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MNIST_FOLDERS = ("", "mnist", "MNIST/raw")  # below the data root; the last is where torchvision puts them
MNIST_MAX_BYTES = 64 * 2**20  # of an unpacked file; the largest official one has 47,040,016

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
CIFAR10_NAME = "cifar-10-python.tar.gz"
CIFAR10_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


def load_digits() -> Dataset:
    """Load scikit-learn's 1,797 scans of 8x8 pixels; grey levels 0..16 become u8 by round(v * 255 / 16)."""
    import sklearn.datasets

    loaded = sklearn.datasets.load_digits()
    images = np.round(loaded.images * 255.0 / 16.0).astype(np.uint8)[..., None]
    return Dataset(
        train=Split(images, loaded.target.astype(np.int64)),
        test=None,
        classes=tuple(str(name) for name in loaded.target_names),
        origin="scikit-learn load_digits (UCI Optical Recognition of Handwritten Digits, test part, "
        "E. Alpaydin 1998)",
        licence="CC BY 4.0 (UCI Machine Learning Repository)",
        preparation="grey levels 0..16 scaled to 0..255",
        sources=(describe_file(Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"),),
    )


def load_mnist(settings_data: Mapping[str, Any], root: Path) -> Dataset:
    """Load MNIST (LeCun, Cortes, Burges 1998), 60,000 and 10,000 images of 28x28 pixels, from `mnist_files`.

    With `test_split: from_train` only the training files are needed, and `test` is None.
    """
    files = mnist_files(settings_data, root)

    def split(part: str) -> Split:
        # IDX: after a head of 4 bytes and 4 for each axis come the values, one byte each
        images, labels = (np.frombuffer(files[name][1], dtype=np.uint8) for name in MNIST_FILES[part])
        return Split(images[16:].reshape(-1, 28, 28, 1), labels[8:].astype(np.int64))

    return Dataset(
        train=split("train"),
        test=split("test") if MNIST_FILES["test"][0] in files else None,
        classes=tuple("0123456789"),
        origin=MNIST_URL,
        licence="CC BY-SA 3.0 (Y. LeCun, C. Cortes; derived from NIST's Special Databases 1 and 3)",
        preparation="grey levels as they are",
        sources=tuple(describe_file(path) for path, _ in files.values()),
    )


def mnist_files(settings_data: Mapping[str, Any], root: Path) -> dict[str, tuple[Path, bytes]]:
    """Find the needed IDX files (plain or .gz) below `root`: name -> path and checked, unpacked content.

    Missing files are downloaded to `root`/mnist when `download` is true. PipelineError when one is missing,
    damaged or not the published file.
    """
    found = {}
    for name in _mnist_names(settings_data):
        path, failure = _find_mnist(root, name), ""
        if path is None and settings_data.get("download", False):
            path = root / "mnist" / f"{name}.gz"
            try:
                write_bytes(path, download(f"{MNIST_URL}{name}.gz", sha256=MNIST_PACKED_SHA256[name]))
            except PipelineError as error:
                path, failure = None, f": {error}"
        if path is None:
            otherwise = "" if name in MNIST_FILES["train"] else ", or set data.test_split: from_train"
            raise PipelineError(
                f"cannot get MNIST's {name} in {root}{failure}; put {MNIST_URL}{name}.gz (unpacked: md5 "
                f"{MNIST_MD5[name]}) at {root / 'mnist' / name}.gz, {WHERE}{otherwise}"
            )
        found[name] = path, _read_mnist(path, name)
    return found


def _mnist_names(settings_data: Mapping[str, Any]) -> list[str]:
    from_train = settings_data.get("test_split") == "from_train"
    return [*MNIST_FILES["train"], *([] if from_train else MNIST_FILES["test"])]


def _find_mnist(root: Path, name: str) -> Path | None:
    candidates = (root / folder / f"{name}{suffix}" for folder in MNIST_FOLDERS for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _read_mnist(path: Path, name: str) -> bytes:
    try:
        with open(path, "rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else open(path, "rb") as handle:
            content = handle.read(MNIST_MAX_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{path} is damaged ({error}); get {MNIST_URL}{name}.gz again") from error
    if (found := hashlib.md5(content, usedforsecurity=False).hexdigest()) != MNIST_MD5[name]:
        raise PipelineError(
            f"{path} is not MNIST's {name}: unpacked it has md5 {found}, the published file "
            f"{MNIST_MD5[name]}; get {MNIST_URL}{name}.gz"
        )
    return content


def load_cifar10(settings_data: Mapping[str, Any], root: Path) -> Dataset:
    """Load CIFAR-10 (Krizhevsky 2009), 50,000 and 10,000 images of 32x32 pixels, from `cifar10_archive`.

    torchvision unpickles the batch files; only an archive with the published sha256 gets that far.
    """
    from torchvision.datasets import CIFAR10

    archive = cifar10_archive(settings_data, root)
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
        train, test = CIFAR10(folder, train=True), CIFAR10(folder, train=False)
    return Dataset(
        train=Split(train.data, np.array(train.targets, dtype=np.int64)),
        test=Split(test.data, np.array(test.targets, dtype=np.int64)),
        classes=tuple(train.classes),
        origin=CIFAR10_URL,
        licence="no licence stated; cite Krizhevsky 2009, "
        "Learning Multiple Layers of Features from Tiny Images",
        preparation="pixels as they are",
        sources=(describe_file(archive),),
    )


def cifar10_archive(settings_data: Mapping[str, Any], root: Path) -> Path:
    """Find the published archive in `root`, or download it there when `download` is true.

    PipelineError when it is missing or another file.
    """
    archive = root / CIFAR10_NAME
    try:
        if settings_data.get("download", False) and not archive.is_file():
            write_bytes(archive, download(CIFAR10_URL, sha256=CIFAR10_SHA256))
        if sha256_file(archive) != CIFAR10_SHA256:
            raise PipelineError(f"{archive} is not the published file")
    except PipelineError as error:
        raise PipelineError(
            f"cannot get CIFAR-10 in {root}: {error}; put {CIFAR10_URL} (sha256 {CIFAR10_SHA256}) at "
            f"{archive}, {WHERE}"
        ) from error
    return archive


def to_download(settings_data: Mapping[str, Any], root: Path) -> list[str]:
    """List the URLs of the files that are missing below `root` and may be downloaded."""
    source = settings_data["source"]
    if not settings_data.get("download", False) or source not in ("cifar10", "mnist", "mnist_stacked"):
        return []
    if source != "cifar10":
        missing = [name for name in _mnist_names(settings_data) if _find_mnist(root, name) is None]
        return [f"{MNIST_URL}{name}.gz" for name in missing]
    return [] if (root / CIFAR10_NAME).is_file() else [CIFAR10_URL]
