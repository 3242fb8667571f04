"""The four entry points around features, called as rules call them, on a few digits."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from workflow_scripts.core.chunks import chunk_folder
from workflow_scripts.core.files import sha256_file, write_json, write_npz
from workflow_scripts.core.step import run
from workflow_scripts.data.images import load_dataset
from workflow_scripts.metrics import fidelity
from workflow_scripts.metrics.classifier import load_classifier
from workflow_scripts.steps import (
    compute_reference,
    extract_features,
    measure,
    measure_finite_sample,
    train_extractor,
)
from workflow_scripts.study.measures import inputs_of
from workflow_scripts.study.reasons import metric_name
from workflow_scripts.study.results import flat, read_rows

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
PART = {"count": 1, "sha256": "a" * 64}
MANIFEST = {
    "title": "digits",
    "licence": "l",
    "shape": [8, 8, 1],
    "classes": ["0"],
    "train": PART,
    "test": PART,
    "sources_sha256": "b" * 64,
}
ROW = {
    "study": "S",
    "preset": "digits",
    "arm": "E1_a",
    "seed": 1,
    "metric": "fd_digits",
    "num_samples": 60,
    "from": {"step": 20, "weights": "ema", "point": "ddpm_nfe0010", "sampler": "ddpm", "nfe": 10},
}


def call(main, settings, folder, inputs, outputs):
    """Run a step on files of `folder`, given as `name=file` words."""
    argv = ["--settings", json.dumps(settings)]
    for flag, words in (("--input", inputs), ("--output", outputs)):
        for name, file in (word.split("=") for word in words.split()):
            argv += [flag, name, str(folder / file)]
    run(main, argv)


def write_inputs(folder):
    """Train and test data, their manifest, samples, and a file that stands for a checkpoint."""
    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    write_npz(folder / "train.npz", images=images[:600], labels=labels[:600])
    write_npz(folder / "test.npz", images=images[600:700], labels=labels[600:700])
    write_npz(folder / "samples.npz", images=images[700:870])
    write_json(folder / "manifest.json", MANIFEST)
    (folder / "checkpoint.pt").write_bytes(b"hashed only")
    return folder


def run_train_extractor(folder, inputs="", **changed):
    call(
        train_extractor.main,
        {"data": {"num_classes": 10}, "extractor": EXTRACTOR | changed},
        folder,
        f"train=train.npz test=test.npz {inputs}",
        "weights=extractor.pt info=extractor.json",
    )


def run_compute_reference(folder):
    call(
        compute_reference.main,
        {"extractor": EXTRACTOR},
        folder,
        "train=train.npz test=test.npz weights=extractor.pt info=extractor.json manifest=manifest.json",
        "reference=reference.npz features=reference_features.npz info=reference.json "
        "scale_marks=scale_marks.json",
    )


def run_extract_features(folder):
    inputs = "samples=samples.npz weights=extractor.pt info=extractor.json"
    call(extract_features.main, {"extractor": EXTRACTOR}, folder, inputs, "features=features.npz")


def run_measure(folder, metric="frechet_distance", needed=None, **changed):
    files = {
        "features": "features.npz",
        "samples": "samples.npz",
        "reference": "reference.npz",
        "reference_features": "reference_features.npz",
        "reference_info": "reference.json",
        "extractor_info": "extractor.json",
        "train": "train.npz",
        "log": "log.csv",
    }
    inputs = " ".join(f"{name}={files[name]}" for name in inputs_of(metric))
    point = {"name": "ddpm_nfe0010", "num_samples": 60, "sampler": "ddpm", "eta": None, "nfe": 10}
    own = {name: ROW[name] for name in ("study", "preset", "arm", "seed")}
    settings = {**own, "metric": metric, "step": 20, "points": [point | changed], **(needed or {})}
    call(measure.main, settings, folder, f"{inputs} checkpoint=checkpoint.pt", "metrics=metrics.json")
    return read_rows(folder / "metrics.json")


def run_measure_finite_sample(folder, **changed):
    inputs = "features=features.npz reference=reference.npz"
    call(measure_finite_sample.main, ROW | changed, folder, inputs, "finite_sample=finite.json")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    folder = write_inputs(tmp_path_factory.mktemp("ready"))
    run_train_extractor(folder)
    run_compute_reference(folder)
    run_extract_features(folder)
    return folder


@pytest.fixture
def ready(made_once, tmp_path):
    """Everything that metrics read."""
    return Path(shutil.copytree(made_once, tmp_path / "ready"))


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
    marks = {mark["id"]: mark["value"] for mark in json.loads((ready / "scale_marks.json").read_text())}
    assert marks["uniform_noise"] > 3 * marks["test_vs_train"] > 0

    (row,) = run_measure(ready)
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
    expected = {"stderr": None, "interval": None, **ROW}
    expected["from"] = {**ROW["from"], "checkpoint_sha256": sha256_file(ready / "checkpoint.pt")}
    expected["on"] = {
        "extractor": "fd_digits",
        "extractor_sha256": info["extractor_sha256"],
        "num_samples": expected.pop("num_samples"),
        "reference_sha256": reference_info["reference_sha256"],
    }
    assert row == expected
    # The other metrics use the training images' own features, and say so.
    with np.load(ready / "reference_features.npz") as archive:
        compared = features[:60], archive["features"]
    value, spread, (low, high) = fidelity.kernel_distance(*compared)
    precision, recall = fidelity.precision_and_recall(*compared)
    expected["on"]["reference_sha256"] = reference_info["features_sha256"]
    interval = {"stderr": spread, "interval": [low, high]}
    of_kernel = expected | {"metric": "kd_digits", "value": value, **interval}
    assert run_measure(ready, "kernel_distance") == [of_kernel]
    assert run_measure(ready, "precision_recall") == [
        expected | {"metric": "precision", "value": precision},
        expected | {"metric": "recall", "value": recall},
    ]


TOTAL_VARIATION = "tests.house.excess_total_variation:excess_total_variation"


def test_metrics_of_samples_and_logs_say_what_they_are_judged_against(ready):
    (row,) = run_measure(ready, "tests.house.sharpness:sharpness")
    real = sha256_file(ready / "train.npz")
    assert row["on"] == {"num_samples": 60, "real_sha256": real} and 0.5 < row["value"] < 2
    losses = [9, 7, 8, 6, 5, 4, 3, 2, 1, 0]
    (ready / "log.csv").write_text("step,loss\n" + "".join(f"{n},{loss}\n" for n, loss in enumerate(losses)))
    (row,) = run_measure(ready, TOTAL_VARIATION)
    assert row["on"] == {} and row["value"] == pytest.approx(2 / 9)
    assert row["from"].items() >= {"step": 20, "weights": "last"}.items() and "point" not in row["from"]
    (ready / "log.csv").write_text("step,loss\n1,1.0\n2,nan\n")
    assert run_measure(ready, TOTAL_VARIATION) == []


def test_the_finite_sample_file_is_about_the_same_distance_as_the_row(ready, capsys):
    row = flat(run_measure(ready)[0])
    run_measure_finite_sample(ready)
    found = json.loads((ready / "finite.json").read_text())
    for key in (*(ROW.keys() - {"from"}), "value", "reference_sha256"):
        assert found[key] == row[key], key
    assert found["from"].items() <= row.items()
    assert "distances/s" in capsys.readouterr().err
    for main in (run_measure_finite_sample, run_measure):
        line = failure(capsys, main, ready, num_samples=171)
        assert re.search(r"features.npz holds .*170 .*, 171 are needed", line)


def test_features_are_in_sample_order_and_show_their_rate(ready, capsys):
    with np.load(ready / "features.npz") as archive:
        features = archive["features"]
    with np.load(ready / "samples.npz") as archive:
        write_npz(ready / "samples.npz", images=archive["images"][::-1])
    run_extract_features(ready)
    with np.load(ready / "features.npz") as archive:
        np.testing.assert_allclose(archive["features"], features[::-1], atol=1e-5)
    assert "170/170 images" in (shown := capsys.readouterr().err) and "images/s" in shown


@pytest.mark.parametrize("other_samples", [False, True])
def test_interrupted_extraction_goes_on_if_the_samples_are_the_same(
    ready, monkeypatch, capsys, other_samples
):
    whole = (ready / "features.npz").read_bytes()
    (ready / "features.npz").unlink()
    if other_samples:
        samples = (ready / "samples.npz").read_bytes()
        write_npz(ready / "samples.npz", images=np.zeros((170, 8, 8, 1), dtype=np.uint8))
    monkeypatch.setattr(extract_features, "CHUNK_SIZE", 100)
    load = extract_features.load_extractor

    def load_one_that_stops(*arguments):
        extractor = load(*arguments)

        def features_and_logits(images):
            if len(images) < 100:  # the second chunk
                raise KeyboardInterrupt
            return extractor.features_and_logits(images)

        return replace(extractor, features_and_logits=features_and_logits)

    with monkeypatch.context() as interrupted, pytest.raises(SystemExit):
        interrupted.setattr(extract_features, "load_extractor", load_one_that_stops)
        run_extract_features(ready)
    assert not (ready / "features.npz").exists() and chunk_folder(ready / "features.npz").exists()
    if other_samples:
        (ready / "samples.npz").write_bytes(samples)
    run_extract_features(ready)
    assert ("going on after 100 images" in capsys.readouterr().err) != other_samples
    assert (ready / "features.npz").read_bytes() == whole
    assert not chunk_folder(ready / "features.npz").exists()


def test_without_labels_the_extractor_learns_rotations(tmp_path, monkeypatch):
    monkeypatch.setitem(EXTRACTOR, "kind", "rotations")
    monkeypatch.setitem(EXTRACTOR, "name", "rot_digits")
    write_inputs(tmp_path)
    for name in ("train.npz", "test.npz"):
        write_npz(tmp_path / name, images=load_dataset(tmp_path / name)["images"])
    run_train_extractor(tmp_path)  # right in half of the cases; guessing is right in a quarter
    assert load_classifier(tmp_path / "extractor.pt").architecture["num_classes"] == 4
    run_compute_reference(tmp_path)
    run_extract_features(tmp_path)
    names = [run_measure(tmp_path, name)[0]["metric"] for name in ("frechet_distance", "kernel_distance")]
    assert names == ["rot_digits", "kd_rot_digits"]
    assert [metric_name(name) for name in names] == ["FD (rot_digits)", "KD (kd_rot_digits)"]


def test_an_inaccurate_extractor_stops_the_run_and_leaves_nothing(tmp_path, capsys):
    write_inputs(tmp_path)
    line = failure(capsys, run_train_extractor, tmp_path, num_steps=1, min_test_accuracy=0.95)
    assert "below extractor.min_test_accuracy 95.00%" in line
    assert not list(tmp_path.glob("extractor.*"))


def test_inception_weights_are_checked_before_they_are_copied(tmp_path, capsys):
    write_inputs(tmp_path)
    changed = {"kind": "inception", "name": "fid", "feature_dim": 2048}
    torch.save({"fc.bias": torch.zeros(1008)}, tmp_path / "wrong.pth")
    line = failure(capsys, run_train_extractor, tmp_path, "inception=wrong.pth", **changed)
    assert "wrong.pth does not hold torch-fidelity's Inception weights" in line
    assert not (tmp_path / "extractor.pt").exists()


@pytest.mark.parametrize("file", ["features.npz", "reference.npz", "reference_features.npz", "checkpoint.pt"])
def test_damaged_and_missing_inputs_are_named(ready, capsys, file):
    metric = "kernel_distance" if file == "reference_features.npz" else "frechet_distance"
    content = (ready / file).read_bytes()
    if file != "checkpoint.pt":  # which is only hashed
        (ready / file).write_bytes(content[: len(content) // 2])
        assert f"/{file}" in failure(capsys, run_measure, ready, metric)
    (ready / file).unlink()
    assert f"/{file}" in failure(capsys, run_measure, ready, metric)
    assert not (ready / "metrics.json").exists()


def test_damaged_samples_are_named(ready, capsys):
    (ready / "features.npz").unlink()
    content = (ready / "samples.npz").read_bytes()
    (ready / "samples.npz").write_bytes(content[:-40])
    assert "samples.npz" in failure(capsys, run_extract_features, ready)
    assert not (ready / "features.npz").exists()


def test_another_extractor_than_the_references_is_refused(ready, capsys):
    run_train_extractor(ready, seed=1)
    assert "extractor_sha256" in failure(capsys, run_measure, ready)
    run_train_extractor(ready, name="fd_other")
    assert "metric is fd_digits, expected fd_other" in failure(capsys, run_measure, ready)


def test_weights_that_their_description_does_not_match_are_refused(ready, capsys):
    with open(ready / "extractor.pt", "ab") as weights:
        weights.write(b"x")
    assert "extractor.pt is not the file" in failure(capsys, run_extract_features, ready)
