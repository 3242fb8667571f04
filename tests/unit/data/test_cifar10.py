from __future__ import annotations

import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.data import cifar10

CLASSES = [f"class {number}" for number in range(10)]


@pytest.fixture
def small_archive(tmp_path, monkeypatch):
    """An archive laid out like the real one with 3 training and 2 test images, whose md5 sums torchvision is told."""
    from torchvision.datasets import CIFAR10

    generator = np.random.default_rng(0)
    parts = {
        "data_batch_1": {"data": generator.integers(0, 256, (3, 3072), dtype=np.uint8), "labels": [5, 0, 9]},
        "test_batch": {"data": generator.integers(0, 256, (2, 3072), dtype=np.uint8), "labels": [1, 2]},
        "batches.meta": {"label_names": CLASSES},
    }
    path = tmp_path / "root" / "cifar-10-python.tar.gz"
    path.parent.mkdir()
    sums = {}
    with tarfile.open(path, "w:gz") as archive:
        for name, part in parts.items():
            content = pickle.dumps(part)
            sums[name] = hashlib.md5(content).hexdigest()
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
    return path, parts


def test_an_archive_in_place_is_unpacked_without_download_in_the_official_order(small_archive):
    path, parts = small_archive
    dataset = cifar10.load({"download": False}, path.parent)
    # rows hold 1024 red, then 1024 green, then 1024 blue values
    expected = parts["data_batch_1"]["data"].reshape(3, 3, 32, 32).transpose(0, 2, 3, 1)
    assert np.array_equal(dataset.train.images, expected)
    assert dataset.train.labels.tolist() == [5, 0, 9] and dataset.train.labels.dtype == np.int64
    assert dataset.test.images.shape == (2, 32, 32, 3) and dataset.test.labels.tolist() == [1, 2]
    assert dataset.classes == tuple(CLASSES)
    sums = {name: hashlib.sha256(pickle.dumps(parts[name])).hexdigest() for name in ("data_batch_1", "test_batch")}
    assert {file.path: file.sha256 for file in dataset.sources} == {
        f"cifar-10-batches-py/{name}": digest for name, digest in sums.items()
    }


def test_an_altered_batch_is_refused(small_archive):
    path, _ = small_archive
    cifar10.load({"download": False}, path.parent)
    path.unlink()
    batch = path.parent / "cifar-10-batches-py" / "data_batch_1"
    content = bytearray(batch.read_bytes())
    content[1000] ^= 1
    batch.write_bytes(bytes(content))
    with pytest.raises(PipelineError, match="cannot get CIFAR-10"):
        cifar10.load({"download": False}, path.parent)


def test_missing_data_says_which_file_belongs_where(tmp_path):
    with pytest.raises(PipelineError) as caught:
        cifar10.load({"download": False}, tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "cifar-10-python.tar.gz") in message and "c58f30108f718f92721af3b95e74349a" in message
    assert "\n" not in message


def test_no_network_is_a_clear_error(tmp_path, monkeypatch):
    from urllib.error import URLError

    from torchvision.datasets import utils

    def unreachable(*arguments, **options):
        raise URLError("Name or service not known")

    monkeypatch.setattr(utils, "_urlretrieve", unreachable)
    with pytest.raises(PipelineError, match="Name or service not known.*cifar-10-python.tar.gz"):
        cifar10.load({"download": True}, tmp_path)
