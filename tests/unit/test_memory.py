"""Memory grows with the dataset by its bytes at most: no step holds all images as floats, or all features."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.data.picture_files import picture
from workflow_scripts.core.files import sha256_file, write_json, write_npz
from workflow_scripts.data.prepare import prepare
from workflow_scripts.metrics.classifier import Classifier, save_classifier

ROOT = Path(__file__).parents[2]
# What the allocator and the interpreter differ by between two runs of the same work.
NOISE = 4 * 2**20
# A step, and what it held at its peak; from within, since a process's usage seen from outside begins with its
# parent's.
MEASURED = """
import runpy, sys
from workflow_scripts.core.memory import peak_resident_bytes
sys.argv = sys.argv[1:]
runpy.run_module(f"workflow_scripts.steps.{sys.argv[0]}", run_name="__main__")
print(peak_resident_bytes())
"""


def peak_bytes(entry: str, settings: dict, inputs: dict[str, Path], outputs: dict[str, Path]) -> int:
    """The most memory that the step held, in a process of its own."""
    command = [sys.executable, "-c", MEASURED, entry, "--settings", json.dumps(settings)]
    for flag, paths in (("--input", inputs), ("--output", outputs)):
        command += [word for name, path in paths.items() for word in (flag, name, str(path))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


def test_preparation_holds_each_image_once_or_twice(tmp_path: Path) -> None:
    """By Python's and numpy's own count of what they hold, which is exact where there is no torch."""
    side, counts, peaks = 128, (400, 1000), []
    settings = {
        "source": "image_folder",
        "title": "own",
        "path": "own.zip",
        "image_size": side,
        "channels": 3,
        "num_classes": 2,
        "num_train": None,
        "num_test": 20,
        "split_seed": 0,
    }
    content = picture(
        0, size=(side, side)
    )  # one for all, since random ones would not compress, and writing them costs their size
    for count in counts:
        with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
            for number in range(count):
                part, name = "train" if number % 10 else "test", "cat" if number % 4 > 1 else "dog"
                archive.writestr(f"{part}/{name}/{number}.png", content)
        tracemalloc.start()
        prepare(settings, tmp_path, *(tmp_path / name for name in ("train.npz", "test.npz", "manifest.json")))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Of the difference, since numpy writes a file through buffers of 16 MiB. As floats they would be four
    # times their bytes.
    assert peaks[1] - peaks[0] < 2.5 * (counts[1] - counts[0]) * side * side * 3


@pytest.fixture
def extractor(tmp_path: Path) -> dict:
    torch.manual_seed(0)
    save_classifier(tmp_path / "extractor.pt", Classifier(8, 1, 10, 64))
    settings = {"name": "fd_digits", "kind": "classifier", "feature_dim": 64}
    write_json(
        tmp_path / "extractor.json", {**settings, "extractor_sha256": sha256_file(tmp_path / "extractor.pt")}
    )
    part = {"count": 1, "sha256": "0" * 64}
    manifest = {
        "title": "noise",
        "licence": "none",
        "shape": [8, 8, 1],
        "classes": ["0"],
        "train": part,
        "test": part,
    }
    write_json(tmp_path / "manifest.json", {**manifest, "sources_sha256": "0" * 64})
    return settings


def test_reference_statistics_stream(tmp_path: Path, extractor: dict) -> None:
    counts = (12_000, 132_000)  # both above the 10,000 whose features are kept
    generator = np.random.default_rng(0)
    files = {
        name: tmp_path / name
        for name in ("train.npz", "test.npz", "manifest.json", "extractor.pt", "extractor.json")
    }
    inputs = dict(zip(("train", "test", "manifest", "weights", "info"), files.values()))
    outputs = {name: tmp_path / f"out_{name}" for name in ("reference", "features", "info", "scale_marks")}
    peaks = []
    for count in counts:
        for path, number in ((inputs["train"], count), (inputs["test"], 200)):
            images = generator.integers(0, 256, (number, 8, 8, 1), dtype=np.uint8)
            write_npz(path, images=images, labels=np.zeros(number, dtype=np.int64))
        peaks.append(peak_bytes("compute_reference", {"extractor": extractor}, inputs, outputs))
    more = counts[1] - counts[0]
    held, floats_or_features = more * (64 + 8), more * 64 * 4  # pixels and labels; 64 floats of either
    assert peaks[1] - peaks[0] < 1.5 * held + NOISE < floats_or_features
