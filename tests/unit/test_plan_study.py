"""The plan: what a run would first look for or download."""

from __future__ import annotations

from pathlib import Path

from workflow_scripts.provenance.planned_jobs import PlannedJob
from workflow_scripts.tools import plan as plan_study

ROOT = Path(__file__).resolve().parents[2]


def job(rule, settings, inputs=()):
    return PlannedJob(rule, rule, {}, settings, list(inputs), [])


def supply(root, data, own_weights=None):
    """(downloads, problems) where the dataset is to be prepared and Inception is asked for."""
    weights = ("inception", "data_root/weights.pth" if own_weights is None else "elsewhere/mine.pth")
    jobs = [job("prepare_data", {"data": data}), job("train_extractor", {}, [("train", "x"), weights])]
    return plan_study.supply_words(root, jobs, root / "data", own_weights)


def test_what_is_published_would_be_downloaded(tmp_path):
    downloads, problems = supply(tmp_path, {"source": "mnist", "download": True})
    assert [line.split()[1].rpartition("/")[2] for line in downloads[:4]] == [
        f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    ]
    assert downloads[4:] == [f"download the Inception weights to {tmp_path}/data/weights.pth"]
    assert problems == []


def test_what_cannot_be_had_would_stop_the_run(tmp_path):
    downloads, problems = supply(tmp_path, {"source": "mnist", "download": False}, own_weights="mine.pth")
    assert downloads == []
    assert [problem.split(";")[0].split(" in ")[0] for problem in problems] == [
        "cannot get MNIST's train-images-idx3-ubyte",
        "mine.pth, which extractor.weights names, is missing",
    ]
    _, problems = supply(tmp_path, {"source": "image_folder", "path": "cats"}, own_weights="mine.pth")
    assert problems[0].startswith(f"{tmp_path}/data/cats is missing; put a folder")


def test_what_is_there_is_checked_and_what_is_damaged_would_stop_the_run(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/weights.pth").touch()
    (tmp_path / "data/cifar-10-python.tar.gz").write_bytes(b"no archive")
    downloads, problems = supply(tmp_path, {"source": "cifar10", "download": True})
    assert downloads == []
    assert len(problems) == 1 and problems[0].startswith(f"cannot get CIFAR-10 in {tmp_path}/data")
    (tmp_path / "mine.pth").touch()
    digits = {"source": "digits", "image_size": 8, "channels": 1, "num_classes": 10}
    digits |= {"num_train": None, "num_test": 300, "split_seed": 0}
    assert supply(tmp_path, digits, own_weights="mine.pth") == ([], [])
