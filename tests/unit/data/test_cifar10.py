from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from urllib.error import URLError

import numpy as np
import pytest

from workflow_scripts.core import download as downloads
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.data import cifar10
from workflow_scripts.data.python2_pickle import read_pickle

CLASSES = [f"class {number}" for number in range(10)]
OFFLINE = {"download": False}


def pack(path, contents):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def small_archive(tmp_path, monkeypatch):
    """An archive laid out like the real one with 3 training and 2 test images, whose md5 sums the source is told."""
    generator = np.random.default_rng(0)
    parts = {
        "data_batch_1": {"data": generator.integers(0, 256, (3, 3072), dtype=np.uint8), "labels": [5, 0, 9]},
        "test_batch": {"data": generator.integers(0, 256, (2, 3072), dtype=np.uint8), "labels": [1, 2]},
        "batches.meta": {"label_names": CLASSES},
    }
    # protocol 3 writes an array as Python 2 did: a name, a shape, a type and the values
    contents = {name: pickle.dumps(part, protocol=3) for name, part in parts.items()}
    monkeypatch.setattr(cifar10, "FILES", {"train": ["data_batch_1"], "test": ["test_batch"]})
    monkeypatch.setattr(
        cifar10, "MD5", {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    )
    return pack(tmp_path / "root" / "cifar-10-python.tar.gz", contents), parts, contents


def test_an_archive_in_place_is_read_in_the_official_order_and_nothing_is_unpacked(small_archive):
    path, parts, contents = small_archive
    dataset = cifar10.load(OFFLINE, path.parent)
    # rows hold 1024 red, then 1024 green, then 1024 blue values
    expected = parts["data_batch_1"]["data"].reshape(3, 3, 32, 32).transpose(0, 2, 3, 1)
    assert np.array_equal(dataset.train.images, expected)
    assert dataset.train.labels.tolist() == [5, 0, 9] and dataset.train.labels.dtype == np.int64
    assert dataset.test.images.shape == (2, 32, 32, 3) and dataset.test.labels.tolist() == [1, 2]
    assert dataset.classes == tuple(CLASSES)
    assert {file.path: file.sha256 for file in dataset.sources} == {
        f"cifar-10-batches-py/{name}": hashlib.sha256(contents[name]).hexdigest()
        for name in ("data_batch_1", "test_batch", "batches.meta")
    }
    assert list(path.parent.iterdir()) == [path]


def test_an_unpacked_folder_gives_the_same(small_archive):
    path, _, contents = small_archive
    first = cifar10.load(OFFLINE, path.parent)
    path.unlink()
    (path.parent / "cifar-10-batches-py").mkdir()
    for name, content in contents.items():
        (path.parent / "cifar-10-batches-py" / name).write_bytes(content)
    second = cifar10.load(OFFLINE, path.parent)
    assert np.array_equal(first.train.images, second.train.images) and first.sources == second.sources


def test_a_pickle_as_python_2_wrote_it_is_read():
    """Its texts have no type of their own, so the values of an array arrive as one."""
    text = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05"
        b"(K\x01K\x01K\x03\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x03\x00\x7f\xfftbU\x06labelsq\x08]q\x09(K\x05K\x00eu."
    )
    found = read_pickle(text, "batch")
    assert found["data"].tolist() == [[0, 127, 255]] and found["labels"] == [5, 0]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_named_with_what_to_put_there(small_archive, share):
    path = small_archive[0]
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(PipelineError, match=f"{path} is truncated, damaged or no .*; put https://") as caught:
        cifar10.load(OFFLINE, path.parent)
    assert "\n" not in str(caught.value) and cifar10.ARCHIVE_SHA256 in str(caught.value)


@pytest.mark.parametrize("name", ["data_batch_1", "batches.meta"])
def test_an_altered_batch_is_refused(small_archive, name):
    path, _, contents = small_archive
    altered = bytearray(contents[name])
    altered[len(altered) // 2] ^= 1
    pack(path, {**contents, name: bytes(altered)})
    with pytest.raises(PipelineError, match=f"cannot get CIFAR-10 in .*{name} is not the published file"):
        cifar10.load(OFFLINE, path.parent)


def test_a_pickle_that_would_run_something_runs_nothing(small_archive, tmp_path, monkeypatch):
    class Attack:
        def __reduce__(self):
            import os

            return os.system, (f"touch {tmp_path / 'marker'}",)

    path, _, contents = small_archive
    evil = {**contents, "data_batch_1": pickle.dumps({"data": Attack(), "labels": []}, protocol=3)}
    pack(path, evil)
    # as if its sum were the published one
    monkeypatch.setattr(
        cifar10, "MD5", {name: hashlib.md5(content).hexdigest() for name, content in evil.items()}
    )
    with pytest.raises(
        PipelineError, match=r"data_batch_1 cannot be read \(it asks for posix.system, which no data needs\)"
    ):
        cifar10.load(OFFLINE, path.parent)
    assert not (tmp_path / "marker").exists()


def test_missing_data_says_which_file_belongs_where(tmp_path):
    with pytest.raises(PipelineError) as caught:
        cifar10.load(OFFLINE, tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "cifar-10-python.tar.gz") in message and cifar10.ARCHIVE_SHA256 in message
    assert "\n" not in message


def test_no_network_is_a_clear_error(tmp_path, monkeypatch):
    def unreachable(url):
        raise URLError("Name or service not known")

    monkeypatch.setattr(downloads, "open_url", unreachable)
    with pytest.raises(PipelineError, match="Name or service not known.*cifar-10-python.tar.gz"):
        cifar10.load({"download": True}, tmp_path)


def test_a_download_is_kept_and_read_when_its_sum_fits(small_archive, tmp_path, monkeypatch):
    content = small_archive[0].read_bytes()
    monkeypatch.setattr(downloads, "open_url", lambda url: io.BytesIO(content))
    with pytest.raises(PipelineError, match="nothing of it was kept"):
        cifar10.load({"download": True}, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(cifar10, "ARCHIVE_SHA256", hashlib.sha256(content).hexdigest())
    assert len(cifar10.load({"download": True}, tmp_path / "new").train.images) == 3
    assert (tmp_path / "new" / "cifar-10-python.tar.gz").read_bytes() == content
