from __future__ import annotations

import gzip
import hashlib
import io
from urllib.error import URLError

import numpy as np
import pytest

from workflow_scripts.core import download as downloads
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.data import mnist
from workflow_scripts.data.sources import load_source

SETTINGS = {
    "source": "mnist",
    "image_size": 28,
    "channels": 1,
    "num_classes": 10,
    "num_train": None,
    "num_test": None,
    "split_seed": 0,
}
COUNTS = {"train": 60, "t10k": 20}


def idx(array):
    """An IDX file by its definition: two zeros, 0x08 for unsigned bytes, the number of axes, big-endian lengths, values."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def files(monkeypatch):
    """Name to content of small files in MNIST's format, whose md5 sums the source is told."""
    generator, content = np.random.default_rng(0), {}
    for part, count in COUNTS.items():
        content[f"{part}-images-idx3-ubyte"] = idx(generator.integers(0, 256, (count, 28, 28)))
        content[f"{part}-labels-idx1-ubyte"] = idx(np.arange(count) % 10)
    monkeypatch.setattr(
        mnist, "MD5", {name: hashlib.md5(value).hexdigest() for name, value in content.items()}
    )
    return content


def put(folder, files, packed=True, only=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if only in name:
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("folder", ["", "mnist", "MNIST/raw"])
def test_the_official_order_from_every_place_packed_or_not(tmp_path, files, folder, packed):
    put(tmp_path / folder, files, packed)
    dataset = mnist.load({}, tmp_path)
    pixels = np.frombuffer(files["train-images-idx3-ubyte"][16:], np.uint8).reshape(60, 28, 28, 1)
    assert np.array_equal(dataset.train.images, pixels)
    assert dataset.train.labels.tolist() == [number % 10 for number in range(60)]
    assert dataset.train.labels.dtype == np.int64 and dataset.test.images.shape == (20, 28, 28, 1)
    suffix = ".gz" if packed else ""
    assert [file.path for file in dataset.sources] == [
        f"{name}{suffix}" for part in mnist.FILES.values() for name in part
    ]
    for file in dataset.sources:
        assert file.sha256 == hashlib.sha256((tmp_path / folder / file.path).read_bytes()).hexdigest()


def test_the_published_sums_are_those_of_four_files():
    assert set(mnist.MD5) == {name for part in mnist.FILES.values() for name in part}
    assert mnist.MD5["train-images-idx3-ubyte"] == "6bbc9ace898e44ae57da46a324031adb"


def test_from_train_needs_the_training_files_only(tmp_path, files):
    put(tmp_path, files, only="train")
    dataset = load_source({**SETTINGS, "test_split": "from_train", "num_test": 20}, tmp_path)
    assert len(dataset.train.images) == 40 and np.bincount(dataset.test.labels).tolist() == [2] * 10
    assert len(dataset.sources) == 2
    with pytest.raises(PipelineError, match="t10k-images-idx3-ubyte.*or set data.test_split: from_train"):
        load_source(SETTINGS, tmp_path)


def test_missing_files_say_what_belongs_where(tmp_path):
    with pytest.raises(PipelineError) as caught:
        mnist.load({"download": False}, tmp_path)
    message = str(caught.value)
    for part in (
        "https://",
        "6bbc9ace898e44ae57da46a324031adb",
        f"{tmp_path}/mnist/train-images-idx3-ubyte.gz",
        "data_root=",
    ):
        assert part in message
    assert "\n" not in message


def test_no_network_says_so_and_what_belongs_where(tmp_path, monkeypatch):
    def unreachable(url):
        raise URLError("Name or service not known")

    monkeypatch.setattr(downloads, "open_url", unreachable)
    with pytest.raises(
        PipelineError,
        match="cannot get MNIST's train-images-idx3-ubyte in .*Name or service not known.*; put https://",
    ) as caught:
        mnist.load({"download": True}, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_download_is_used(tmp_path, files, monkeypatch):
    packed = {name: gzip.compress(content) for name, content in files.items()}
    asked = []

    def answer(url):
        asked.append(url.rsplit("/", 1)[1].removesuffix(".gz"))
        return io.BytesIO(packed[asked[-1]])

    monkeypatch.setattr(downloads, "open_url", answer)
    monkeypatch.setattr(
        mnist,
        "PACKED_SHA256",
        {name: hashlib.sha256(content).hexdigest() for name, content in packed.items()},
    )
    put(tmp_path, files, only="train-labels")  # what is there is not fetched
    assert len(mnist.load({"download": True}, tmp_path).train.images) == 60
    assert sorted(asked) == sorted(files.keys() - {"train-labels-idx1-ubyte"})


def test_a_download_with_another_sum_is_not_kept(tmp_path, files, monkeypatch):
    monkeypatch.setattr(downloads, "open_url", lambda url: io.BytesIO(b"something else"))
    with pytest.raises(PipelineError, match="nothing of it was kept.*; put https://"):
        mnist.load({"download": True}, tmp_path)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "other"])
def test_a_damaged_file_is_named(tmp_path, files, packed, damage):
    put(tmp_path, files, packed)
    name = "t10k-labels-idx1-ubyte" + (".gz" if packed else "")
    content = bytearray((tmp_path / name).read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[-12] ^= 1
    else:
        content = gzip.compress(idx(np.zeros(20))) if packed else idx(np.zeros(20))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PipelineError, match=name) as caught:
        mnist.load({}, tmp_path)
    assert "https://" in str(caught.value) and "\n" not in str(caught.value)


def test_a_gzip_bomb_is_read_no_further_than_the_limit(tmp_path, files, monkeypatch):
    put(tmp_path, files)
    monkeypatch.setattr(mnist, "MAX_FILE_BYTES", 2**20)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(50 * 2**20)))
    with pytest.raises(PipelineError, match=f"has md5 {hashlib.md5(bytes(2**20)).hexdigest()}"):
        mnist.load({}, tmp_path)
