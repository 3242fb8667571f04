from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile
from urllib.error import URLError

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from workflow_scripts.core import download as downloads
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.data import published

FROM_TRAIN = {"test_split": "from_train"}
DOWNLOAD = {"download": True}


# --- digits


def test_digits_are_scikit_learns_scaled_to_255():
    dataset, whole = published.load_digits(), load_digits()
    expected = np.round(whole.images * 255 / 16).astype(np.uint8)[..., None]
    assert np.array_equal(dataset.train.images, expected) and dataset.train.images.max() == 255
    assert np.array_equal(dataset.train.labels, whole.target) and dataset.test is None


# --- MNIST


def idx(array):
    """An IDX file: two zeros, 0x08 for unsigned bytes, the number of axes, big-endian lengths, values."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(monkeypatch):
    """Small files in MNIST's format by name, whose sums take the place of the published ones."""
    generator, content = np.random.default_rng(0), {}
    for part, count in (("train", 60), ("t10k", 20)):
        content[f"{part}-images-idx3-ubyte"] = idx(generator.integers(0, 256, (count, 28, 28)))
        content[f"{part}-labels-idx1-ubyte"] = idx(np.arange(count) % 10)
    assert set(published.MNIST_MD5) == set(published.MNIST_PACKED_SHA256) == set(content)
    for name, value in content.items():
        monkeypatch.setitem(published.MNIST_MD5, name, hashlib.md5(value).hexdigest())
    return content


def put(folder, files, packed=True, only=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if only in name:
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("folder", ["", "mnist", "MNIST/raw"])
def test_mnist_in_the_official_order_from_every_place_packed_or_not(tmp_path, mnist, folder, packed):
    put(tmp_path / folder, mnist, packed)
    dataset = published.load_mnist({}, tmp_path)
    pixels = np.frombuffer(mnist["train-images-idx3-ubyte"][16:], np.uint8).reshape(60, 28, 28, 1)
    assert np.array_equal(dataset.train.images, pixels)
    assert dataset.train.labels.tolist() == [number % 10 for number in range(60)]
    assert dataset.train.labels.dtype == np.int64 and dataset.test.images.shape == (20, 28, 28, 1)
    suffix = ".gz" if packed else ""
    assert [file.path for file in dataset.sources] == [f"{name}{suffix}" for name in mnist]
    for file in dataset.sources:
        assert file.sha256 == hashlib.sha256((tmp_path / folder / file.path).read_bytes()).hexdigest()


def test_from_train_needs_the_training_files_only(tmp_path, mnist):
    put(tmp_path, mnist, only="train")
    dataset = published.load_mnist(FROM_TRAIN, tmp_path)
    assert len(dataset.train.images) == 60 and dataset.test is None and len(dataset.sources) == 2
    with pytest.raises(PipelineError, match="t10k-images-idx3-ubyte.*or set data.test_split: from_train"):
        published.load_mnist({}, tmp_path)


def test_what_is_missing_of_mnist_is_downloaded(tmp_path, mnist, monkeypatch):
    packed = {f"{published.MNIST_URL}{name}.gz": gzip.compress(content) for name, content in mnist.items()}
    asked = []

    def answer(url):
        asked.append(url)
        return io.BytesIO(packed[url])

    monkeypatch.setattr(downloads, "open_url", answer)
    with pytest.raises(PipelineError, match="nothing of it was kept.*; put https://"):
        published.load_mnist(DOWNLOAD, tmp_path)
    assert list(tmp_path.rglob("*")) == []
    for url, content in packed.items():
        name = url.rsplit("/", 1)[1].removesuffix(".gz")
        monkeypatch.setitem(published.MNIST_PACKED_SHA256, name, hashlib.sha256(content).hexdigest())
    put(tmp_path, mnist, only="train-labels")
    asked.clear()
    expected = published.to_download({"source": "mnist", **DOWNLOAD}, tmp_path)
    assert len(published.load_mnist(DOWNLOAD, tmp_path).train.images) == 60
    assert asked == expected and len(expected) == 3
    assert published.to_download({"source": "mnist", **DOWNLOAD}, tmp_path) == []


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "other"])
def test_a_damaged_file_of_mnist_is_named(tmp_path, mnist, packed, damage):
    put(tmp_path, mnist, packed)
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
        published.load_mnist({}, tmp_path)
    assert "https://" in str(caught.value) and "\n" not in str(caught.value)


def test_a_gzip_bomb_is_read_no_further_than_the_limit(tmp_path, mnist, monkeypatch):
    put(tmp_path, mnist)
    monkeypatch.setattr(published, "MNIST_MAX_BYTES", 2**20)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(50 * 2**20)))
    with pytest.raises(PipelineError, match=f"has md5 {hashlib.md5(bytes(2**20)).hexdigest()}"):
        published.load_mnist({}, tmp_path)


# --- CIFAR-10

# one image of values 255 and its label, as Python 2 wrote them: an array's values are a text
PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b"
    b"\x87Rq\x05(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff"
    b"\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00"
    + b"\xff" * 3072
    + b"tbU\x06labelsq\x08]q\x09K\x05au."
)
TRAIN = np.random.default_rng(0).integers(0, 256, (3, 3072), dtype=np.uint8)


def pack(path, contents):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """An archive laid out like the published one, with 3 training images and 1 test image, and its sums."""
    contents = {
        "data_batch_1": pickle.dumps({"data": TRAIN, "labels": [5, 0, 9]}, protocol=2),
        "test_batch": PYTHON_2,
        "batches.meta": pickle.dumps({"label_names": [f"class {n}" for n in range(10)]}, protocol=2),
    }
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setitem(CIFAR10.meta, "md5", sums["batches.meta"])
    path = pack(tmp_path / "root" / "cifar-10-python.tar.gz", contents)
    monkeypatch.setattr(published, "CIFAR10_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_cifar10_in_the_official_order(cifar10):
    dataset = published.load_cifar10({}, cifar10.parent)
    # rows hold 1024 red, then 1024 green, then 1024 blue values
    assert np.array_equal(dataset.train.images, TRAIN.reshape(3, 3, 32, 32).transpose(0, 2, 3, 1))
    assert dataset.train.labels.tolist() == [5, 0, 9] and dataset.train.labels.dtype == np.int64
    assert (dataset.test.images == np.full((1, 32, 32, 3), 255)).all() and dataset.test.labels.tolist() == [5]
    assert dataset.classes == tuple(f"class {number}" for number in range(10))
    assert dataset.sources == ((cifar10.name, cifar10.stat().st_size, published.CIFAR10_SHA256),)
    assert list(cifar10.parent.iterdir()) == [cifar10]


def test_another_archive_is_neither_unpacked_nor_unpickled(cifar10, tmp_path, monkeypatch):
    class Attack:
        def __reduce__(self):
            return open, (str(tmp_path / "marker"), "w")

    pack(cifar10, {"data_batch_1": pickle.dumps({"data": Attack(), "labels": []})})
    monkeypatch.setattr(published.tarfile, "open", lambda path: pytest.fail("was opened"))
    with pytest.raises(
        PipelineError, match="cannot get CIFAR-10 in .*python.tar.gz is not the published file"
    ):
        published.load_cifar10({}, cifar10.parent)
    assert not (tmp_path / "marker").exists()


MISSING = {
    "mnist": (
        "cannot get MNIST's train-images-idx3-ubyte in ",
        "6bbc9ace898e44ae57da46a324031adb",
        "/mnist/train-images-idx3-ubyte.gz, or say where data lies: --config data_root=",
    ),
    "cifar10": ("cannot get CIFAR-10 in ", published.CIFAR10_SHA256, "/cifar-10-python.tar.gz, "),
}


@pytest.mark.parametrize("source", MISSING)
@pytest.mark.parametrize("settings", [{}, DOWNLOAD])
def test_missing_files_say_what_belongs_where(tmp_path, monkeypatch, source, settings):
    def unreachable(url):
        raise URLError("Name or service not known")

    monkeypatch.setattr(downloads, "open_url", unreachable)
    load = published.load_mnist if source == "mnist" else published.load_cifar10
    with pytest.raises(PipelineError) as caught:
        load(settings, tmp_path)
    message = str(caught.value)
    parts = (str(tmp_path), "; put https://", *MISSING[source])
    assert all(part in message for part in parts) and "\n" not in message
    assert ("Name or service not known" in message) == bool(settings)


def test_a_download_of_cifar10_is_kept_and_read_when_its_sum_fits(cifar10, tmp_path, monkeypatch):
    content, new = cifar10.read_bytes(), tmp_path / "new"
    monkeypatch.setattr(downloads, "open_url", lambda url: io.BytesIO(content + b"?"))
    assert published.to_download({"source": "cifar10", **DOWNLOAD}, new) == [published.CIFAR10_URL]
    with pytest.raises(PipelineError, match="nothing of it was kept"):
        published.load_cifar10(DOWNLOAD, new)
    assert not new.exists()
    monkeypatch.setattr(downloads, "open_url", lambda url: io.BytesIO(content))
    assert len(published.load_cifar10(DOWNLOAD, new).train.images) == 3
    assert (new / "cifar-10-python.tar.gz").read_bytes() == content
    assert published.to_download({"source": "cifar10", **DOWNLOAD}, new) == []
