"""The four entry points around features, called as rules call them, on a few digits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import compute_statistics_of_path
from sklearn.datasets import load_digits
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from workflow_scripts.core import chunks
from workflow_scripts.core.chunks import chunk_folder
from workflow_scripts.core.files import sha256_file, write_json, write_npz
from workflow_scripts.core.step import run
from workflow_scripts.metrics.kernel_distance import kernel_distance
from workflow_scripts.metrics.statistics import Origin, load_statistics
from workflow_scripts.steps import (
    compute_metrics,
    compute_reference,
    extract_features,
    measure_finite_sample,
    train_extractor,
)
from workflow_scripts.study.results import read_rows

ROOT = Path(__file__).parents[3]
EXTRACTOR = {
    "name": "fd_digits",
    "kind": "classifier",
    "feature_dim": 16,
    "num_steps": 150,
    "batch_size": 64,
    "learning_rate": 3e-3,
    "seed": 0,
    "min_test_accuracy": 0.5,
}
DATA = {"num_classes": 10}
PART = {"count": 1, "class_counts": [1], "sha256": "a" * 64}
MANIFEST = {
    "source": "digits",
    "title": "digits",
    "origin": "o",
    "licence": "l",
    "preparation": "p",
    "shape": [8, 8, 1],
    "classes": ["0"],
    "train": PART,
    "test": PART,
    "sources": [],
    "sources_sha256": "b" * 64,
}
ROW = {
    "study": "S",
    "preset": "digits",
    "arm": "E1_a",
    "seed": 1,
    "step": 20,
    "sampler": "ddpm",
    "eta": None,
    "nfe": 10,
    "num_samples": 60,
    "ema": True,
    "metric": "fd_digits",
}


def call(main, settings, inputs, outputs):
    argv = ["--settings", json.dumps(settings)]
    for flag, paths in (("--input", inputs), ("--output", outputs)):
        for name, path in paths.items():
            argv += [flag, name, str(path)]
    run(main, argv)


@pytest.fixture
def folder(tmp_path):
    """Train and test data, their manifest, a file that stands for a checkpoint, and the names of all outputs."""
    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    write_npz(tmp_path / "train.npz", images=images[:600], labels=labels[:600])
    write_npz(tmp_path / "test.npz", images=images[600:700], labels=labels[600:700])
    write_npz(tmp_path / "samples.npz", images=images[700:870])
    write_json(tmp_path / "manifest.json", MANIFEST)
    (tmp_path / "checkpoint.pt").write_bytes(b"hashed only")
    return tmp_path


def run_train_extractor(folder, inputs=(), **changed):
    call(
        train_extractor.main,
        {"data": DATA, "extractor": EXTRACTOR | changed},
        {"train": folder / "train.npz", "test": folder / "test.npz", **dict(inputs)},
        {"weights": folder / "extractor.pt", "info": folder / "extractor.json"},
    )


def run_compute_reference(folder):
    inputs = {"train": "train.npz", "test": "test.npz", "weights": "extractor.pt", "info": "extractor.json"}
    outputs = {
        "reference": "reference.npz",
        "features": "reference_features.npz",
        "info": "reference.json",
        "scale_marks": "scale_marks.json",
    }
    call(
        compute_reference.main,
        {"extractor": EXTRACTOR},
        {name: folder / file for name, file in {**inputs, "manifest": "manifest.json"}.items()},
        {name: folder / file for name, file in outputs.items()},
    )


def run_extract_features(folder):
    inputs = {"samples": "samples.npz", "weights": "extractor.pt", "info": "extractor.json"}
    call(
        extract_features.main,
        {"extractor": EXTRACTOR},
        {name: folder / file for name, file in inputs.items()},
        {"features": folder / "features.npz"},
    )


def run_compute_metrics(folder, **changed):
    inputs = {
        "features": "features.npz",
        "reference": "reference.npz",
        "reference_features": "reference_features.npz",
        "reference_info": "reference.json",
        "extractor_info": "extractor.json",
        "checkpoint": "checkpoint.pt",
    }
    call(
        compute_metrics.main,
        ROW | changed,
        {name: folder / file for name, file in inputs.items()},
        {"metrics": folder / "metrics.json"},
    )


@pytest.fixture
def ready(folder):
    """Everything that compute_metrics reads."""
    run_train_extractor(folder)
    run_compute_reference(folder)
    run_extract_features(folder)
    return folder


def reference_features(folder):
    with np.load(folder / "reference_features.npz") as archive:
        return archive["features"]


def failure(capsys, function, *arguments, **changed):
    """The one line with which a step ends that must exit with 1."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        function(*arguments, **changed)
    assert exit_.value.code == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_from_images_to_a_metric_row(ready, capsys):
    info = json.loads((ready / "extractor.json").read_text())
    assert info == {
        "name": "fd_digits",
        "kind": "classifier",
        "feature_dim": 16,
        "test_accuracy": info["test_accuracy"],
        "num_train": 600,
        "num_test": 100,
        "extractor_sha256": sha256_file(ready / "extractor.pt"),
    }
    assert 0.5 <= info["test_accuracy"] <= 1.0
    reference_info = json.loads((ready / "reference.json").read_text())
    assert reference_info == {
        "metric": "fd_digits",
        "extractor": "fd_digits",
        "extractor_sha256": info["extractor_sha256"],
        "dataset_sha256": "a" * 64,
        "count": 600,
        "reference_sha256": sha256_file(ready / "reference.npz"),
        "num_features": 600,
        "features_sha256": sha256_file(ready / "reference_features.npz"),
    }
    origin = load_statistics(ready / "reference.npz").origin
    assert origin == Origin("fd_digits", info["extractor_sha256"], "a" * 64)
    theirs = compute_statistics_of_path(
        str(ready / "reference.npz"), model=None, batch_size=1, dims=16, device="cpu"
    )
    assert [part.shape for part in theirs] == [(16,), (16, 16)]
    marks = {mark["id"]: mark["value"] for mark in json.loads((ready / "scale_marks.json").read_text())}
    assert marks["uniform_noise"] > 3 * marks["test_vs_train"] > 0

    run_compute_metrics(ready)
    row, *others = read_rows(ready / "metrics.json")
    assert "fd_digits" in capsys.readouterr().err
    with np.load(ready / "features.npz") as archive:
        features = archive["features"]
    assert features.shape == (170, 16) and features.dtype == np.float32
    with np.load(ready / "reference.npz") as archive:
        reference = {"mu": archive["mu"], "sigma": archive["sigma"]}
    counted = features[:60].astype(np.float64)
    ours = {"mu": counted.mean(axis=0), "sigma": np.cov(counted, rowvar=False)}
    assert row.pop("value") == pytest.approx(
        fid_statistics_to_metric(ours, reference, False)[KEY_METRIC_FID], rel=1e-6
    )
    expected = ROW | {
        "stderr": None,
        "interval_low": None,
        "interval_high": None,
        "checkpoint_sha256": sha256_file(ready / "checkpoint.pt"),
        "extractor": "fd_digits",
        "extractor_sha256": info["extractor_sha256"],
        "reference_sha256": reference_info["reference_sha256"],
        "objective": None,
        "num_probes": None,
        "probe_sha256": None,
    }
    assert row == expected
    # The other metrics use the training images' own features, and say so; torch-fidelity computes them from the same.
    kernel, precision, recall = others
    generated, real = (torch.from_numpy(side) for side in (features[:60], reference_features(ready)))
    theirs = kid_features_to_metric(generated.double(), real.double(), kid_subset_size=60, verbose=False)
    assert kernel.pop("value") == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-9)
    assert kernel.pop("stderr") == pytest.approx(theirs[KEY_METRIC_KID_STD], rel=1e-9)
    interval = kernel_distance(features[:60], reference_features(ready)).interval
    assert (kernel.pop("interval_low"), kernel.pop("interval_high")) == interval
    theirs = prc_features_to_metric(generated, real, verbose=False)
    for row, key in ((precision, KEY_METRIC_PRECISION), (recall, KEY_METRIC_RECALL)):
        assert row.pop("value") == pytest.approx(theirs[key], rel=1e-6)  # theirs is a float32 mean
        assert [row.pop(name) for name in ("stderr", "interval_low", "interval_high")] == [None] * 3
    expected["reference_sha256"] = reference_info["features_sha256"]
    for name in ("stderr", "interval_low", "interval_high"):
        del expected[name]
    names = ("kd_digits", "precision", "recall")
    assert others == [expected | {"metric": name} for name in names]


def run_measure_finite_sample(folder, **changed):
    inputs = {name: folder / f"{name}.npz" for name in ("features", "reference")}
    call(measure_finite_sample.main, ROW | changed, inputs, {"finite_sample": folder / "finite.json"})


def test_the_finite_sample_file_is_about_the_same_distance_as_the_row(ready, capsys):
    run_compute_metrics(ready)
    run_measure_finite_sample(ready)
    found = json.loads((ready / "finite.json").read_text())
    row = read_rows(ready / "metrics.json")[0]
    for key in (*ROW, "value", "reference_sha256"):
        assert found[key] == row[key], key
    assert "distances/s" in capsys.readouterr().err
    assert "holds 170 feature vectors, 171 are needed" in failure(
        capsys, run_measure_finite_sample, ready, num_samples=171
    )


def test_features_are_in_sample_order_and_show_their_rate(ready, capsys):
    with np.load(ready / "features.npz") as archive:
        features = archive["features"]
    with np.load(ready / "samples.npz") as archive:
        write_npz(ready / "samples.npz", images=archive["images"][::-1])
    run_extract_features(ready)
    with np.load(ready / "features.npz") as archive:
        np.testing.assert_allclose(archive["features"], features[::-1], atol=1e-5)
    assert "170/170 images" in (shown := capsys.readouterr().err) and "images/s" in shown


def test_features_of_other_samples_are_not_taken_for_these(ready, monkeypatch):
    monkeypatch.setattr(extract_features, "CHUNK_SIZE", 100)
    with monkeypatch.context() as kept:
        kept.setattr(chunks.shutil, "rmtree", lambda *arguments, **options: None)
        run_extract_features(ready)
    chunk = min(chunk_folder(ready / "features.npz").rglob("*.npz"))
    write_npz(chunk, features=np.full((100, 16), 9, dtype=np.float32))
    with np.load(ready / "samples.npz") as archive:
        write_npz(ready / "samples.npz", images=archive["images"][::-1])
    run_extract_features(ready)
    with np.load(ready / "features.npz") as archive:
        assert not (archive["features"] == 9).any()


def test_extraction_that_is_killed_goes_on_and_ends_with_the_same_bytes(ready):
    """Enough images that the job is still at work when it is killed."""
    generator = np.random.default_rng(0)
    write_npz(ready / "samples.npz", images=generator.integers(0, 256, (40_000, 8, 8, 1), dtype=np.uint8))
    run_extract_features(ready)
    output, folder = ready / "features.npz", chunk_folder(ready / "features.npz")
    whole = output.read_bytes()
    output.unlink()
    inputs = {"samples": "samples.npz", "weights": "extractor.pt", "info": "extractor.json"}
    command = [
        sys.executable,
        "-m",
        "workflow_scripts.steps.extract_features",
        "--settings",
        json.dumps({"extractor": EXTRACTOR}),
    ]
    command += [word for name, file in inputs.items() for word in ("--input", name, str(ready / file))]
    process = subprocess.Popen(
        [*command, "--output", "features", str(output)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and len(list(folder.glob("*/0*.npz"))) < 5:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed; give it more to do"
    assert not output.exists() and list(folder.iterdir())
    ended = subprocess.run(
        [*command, "--output", "features", str(output)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert "features: going on after" in ended.stderr
    assert output.read_bytes() == whole and not folder.exists()


def test_an_inaccurate_extractor_stops_the_run_and_leaves_nothing(folder, capsys):
    line = failure(capsys, run_train_extractor, folder, num_steps=1, min_test_accuracy=0.95)
    assert "below extractor.min_test_accuracy 95.00%" in line
    assert not (folder / "extractor.pt").exists() and not (folder / "extractor.json").exists()


def test_inception_weights_are_checked_before_they_are_copied(folder, capsys):
    changed = {"kind": "inception", "name": "inception_v3_compat", "feature_dim": 2048}
    torch.save({"fc.bias": torch.zeros(1008)}, folder / "wrong.pth")
    line = failure(capsys, run_train_extractor, folder, {"inception": folder / "wrong.pth"}, **changed)
    assert "wrong.pth does not hold torch-fidelity's Inception weights" in line
    line = failure(capsys, run_train_extractor, folder, {"inception": folder / "absent.pth"}, **changed)
    assert "absent.pth" in line and "set extractor.weights" in line
    assert not (folder / "extractor.pt").exists()


def test_too_few_features_are_an_error(ready, capsys):
    line = failure(capsys, run_compute_metrics, ready, num_samples=171)
    assert "features.npz holds 170 feature vectors, 171 are asked for" in line
    assert not (ready / "metrics.json").exists()


@pytest.mark.parametrize("file", ["features.npz", "reference.npz", "reference_features.npz"])
def test_damaged_arrays_are_named(ready, capsys, file):
    content = (ready / file).read_bytes()
    (ready / file).write_bytes(content[: len(content) // 2])
    assert f"/{file}" in failure(capsys, run_compute_metrics, ready)
    assert not (ready / "metrics.json").exists()


def test_damaged_samples_are_named(ready, capsys):
    (ready / "features.npz").unlink()
    content = (ready / "samples.npz").read_bytes()
    (ready / "samples.npz").write_bytes(content[:-40])
    assert "samples.npz" in failure(capsys, run_extract_features, ready)
    assert not (ready / "features.npz").exists()


def test_a_missing_checkpoint_is_named(ready, capsys):
    (ready / "checkpoint.pt").unlink()
    assert "checkpoint.pt" in failure(capsys, run_compute_metrics, ready)


def test_another_extractor_than_the_references_is_refused(ready, capsys):
    run_train_extractor(ready, seed=1)
    assert "extractor_sha256" in failure(capsys, run_compute_metrics, ready)


def test_another_metric_than_the_references_is_refused(ready, capsys):
    assert "metric is fd_digits, expected fid" in failure(capsys, run_compute_metrics, ready, metric="fid")


def test_weights_that_their_description_does_not_match_are_refused(ready, capsys):
    with open(ready / "extractor.pt", "ab") as weights:
        weights.write(b"x")
    assert "extractor.pt is not the file" in failure(capsys, run_extract_features, ready)


def test_compute_metrics_loads_neither_torch_nor_scipy():
    code = "import sys, workflow_scripts.steps.compute_metrics; print(sorted({'torch', 'scipy'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
