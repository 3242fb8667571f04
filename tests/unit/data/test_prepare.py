from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.data.images import load_dataset
from workflow_scripts.data.prepare import content_sha256, prepare

ROOT = Path(__file__).parents[3]
SETTINGS = {
    "source": "digits",
    "title": "digits",
    "image_size": 8,
    "channels": 1,
    "num_classes": 10,
    "num_train": 200,
    "num_test": 100,
    "split_seed": 0,
}


def test_files_and_manifest_tell_the_same_story(tmp_path):
    manifest = prepare(
        SETTINGS, tmp_path, tmp_path / "train.npz", tmp_path / "test.npz", tmp_path / "manifest.json"
    )
    assert manifest == json.loads((tmp_path / "manifest.json").read_text())
    assert (
        manifest["shape"] == [8, 8, 1] and manifest["classes"] == list("0123456789") and manifest["licence"]
    )
    (source,) = manifest["sources"]
    bundled = Path(sklearn.datasets.__file__).parent / "data" / source["path"]
    assert source["bytes"] == bundled.stat().st_size
    assert source["sha256"] == manifest["sources_sha256"] == hashlib.sha256(bundled.read_bytes()).hexdigest()
    for part, count in (("train", 200), ("test", 100)):
        images, labels = load_dataset(tmp_path / f"{part}.npz")
        assert manifest[part]["count"] == len(images) == count
        assert manifest[part]["class_counts"] == [int((labels == name).sum()) for name in range(10)]
        header = (
            f"|u1{images.shape}".encode()
            + images.tobytes()
            + f"<i8{labels.shape}".encode()
            + labels.tobytes()
        )
        assert manifest[part]["sha256"] == hashlib.sha256(header).hexdigest()


def test_content_sha256_sees_every_value_and_the_shape():
    images, labels = np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int64)
    digest = content_sha256(images, labels)
    altered = images.copy()
    altered[1, 3, 3, 0] = 1
    assert content_sha256(images.copy(), labels) == digest
    assert (
        len({digest, content_sha256(altered, labels), content_sha256(images.reshape(2, 2, 8, 1), labels)})
        == 3
    )


def test_nothing_is_written_when_a_check_fails(tmp_path):
    with pytest.raises(ConfigError):
        prepare(
            {**SETTINGS, "num_train": 10**6},
            tmp_path,
            *(tmp_path / name for name in ("a.npz", "b.npz", "c.json")),
        )
    assert list(tmp_path.iterdir()) == []


def test_the_entry_point_writes_the_same_bytes_twice(tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / name
        command = [
            sys.executable,
            "-m",
            "workflow_scripts.steps.prepare_data",
            "--settings",
            json.dumps({"data": SETTINGS}),
        ]
        command += ["--input", "root", str(tmp_path)]
        for output, file in (("train", "train.npz"), ("test", "test.npz"), ("manifest", "manifest.json")):
            command += ["--output", output, str(folder / file)]
        subprocess.run(
            command, cwd=ROOT, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True
        )
    for file in ("train.npz", "test.npz", "manifest.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
