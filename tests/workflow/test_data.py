"""The dataset alone, and what makes it be prepared again."""

import hashlib
import json

import numpy as np
import pytest
import yaml

from tests.unit.data.picture_files import picture, two_classes, write
from tests.workflow.projects import PRESETS, SMOKE, snakemake
from workflow_scripts.data.published import MNIST_MD5

OWN, DATA = "config/data/own.yaml", "results/MS1_min_snr/own/data"


@pytest.fixture
def own(project):
    """A project with a dataset and a preset `own`, whose images of 8 pixels lie in sets/own."""
    dataset = yaml.safe_load((project / "config/data/digits.yaml").read_text())
    dataset["data"] |= {"source": "image_folder", "title": "Cats and dogs", "path": "own"}
    dataset["data"] |= {"channels": 3, "num_classes": 2, "num_test": 6}
    (project / OWN).write_text(yaml.safe_dump(dataset))
    preset = (project / SMOKE).read_text().replace("dataset: digits", "dataset: own")
    preset = preset.replace("batch_size: 16", "batch_size: 6")  # of the probes: as many as there are
    (project / PRESETS / "own.yaml").write_text(preset)
    write(project / "sets" / "own", two_classes())
    return project


def _data(project, root="sets"):
    return snakemake(project, "data", config=f"preset=own data_root={root}")


def _said(result):
    return result.stdout + result.stderr


def _error(result):
    """The one line that says what is wrong."""
    assert "Traceback" not in _said(result)
    (line,) = {line for line in _said(result).splitlines() if line.startswith("error: ")}
    return line


def test_the_images_decide_and_not_where_they_lie(own):
    first = _data(own)
    assert first.returncode == 0, _said(first)
    assert "Cats and dogs: 6 training and 6 test images of 8 x 8 x 3" in _said(first)
    assert not (own / "results/MS1_min_snr/own/runs").exists() and "verdict" not in _said(first)
    manifest = json.loads((own / DATA / "manifest.json").read_text())
    assert manifest["title"] == "Cats and dogs" and len(manifest["sources"]) == 12
    assert "Nothing to be done" in _said(_data(own))
    (own / "sets").rename(own / "moved")
    assert "Nothing to be done" in _said(_data(own, "moved"))
    assert "Nothing to be done" in _said(_data(own, "nowhere"))
    (own / "moved/own/set/train/cat/0.png").write_bytes(picture(99))
    assert "Cats and dogs: 6 training" in _said(_data(own, "moved"))
    again = json.loads((own / DATA / "manifest.json").read_text())
    assert again["train"]["sha256"] != manifest["train"]["sha256"] and again["test"] == manifest["test"]


@pytest.mark.parametrize("fault", ["gone", "not the pinned ones"])
def test_images_that_are_gone_or_others_do_not_take_the_prepared_arrays_with_them(own, fault):
    assert _data(own).returncode == 0
    before = {path.name: path.read_bytes() for path in (own / DATA).iterdir()}
    if fault == "gone":
        result = snakemake(own, "data", "--forcerun", "prepare_data", config="preset=own data_root=nowhere")
        message = "nowhere/own is missing; put a folder, .zip or .tar(.gz, .xz) of images laid out"
    else:
        content = yaml.safe_load((own / OWN).read_text())
        content["data"]["sha256"] = "0" * 64
        (own / OWN).write_text(yaml.safe_dump(content))
        result = _data(own)
        message = f"data.sha256 is {'0' * 64}: it is damaged or another dataset"
    assert result.returncode != 0 and message in _error(result)
    assert {path.name: path.read_bytes() for path in (own / DATA).iterdir()} == before


@pytest.mark.parametrize("fault", ["does not decode", "is a link"])
def test_bad_images_are_one_line_and_leave_nothing(own, fault):
    path = own / "sets/own/set/train/cat/0.png"
    path.unlink()
    if fault == "is a link":
        path.symlink_to("1.png")
    else:
        path.write_bytes(b"no image")
    result = _data(own)
    assert result.returncode != 0 and f"'set/train/cat/0.png' {fault}" in _error(result)
    assert not list((own / DATA).glob("*"))


def test_fewer_images_than_a_step_after_training_needs_stop_the_run_before_it(own):
    preset = own / PRESETS / "own.yaml"
    preset.write_text(preset.read_text().replace("timestep_mse_batch_size: 6", "timestep_mse_batch_size: 7"))
    result = _data(own)
    assert result.returncode != 0
    assert "Cats and dogs has 6 training images, and steps after training need 7; lower" in _error(result)
    assert not list((own / DATA).glob("*"))


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def small_mnist(project, monkeypatch):
    """A project for which 60 images in sets/mnist are the official MNIST, and no network."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nothing listens
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    contents = {
        IMAGES: bytes([0, 0, 8, 3, 0, 0, 0, 60, 0, 0, 0, 28, 0, 0, 0, 28]) + images.tobytes(),
        LABELS: bytes([0, 0, 8, 1, 0, 0, 0, 60, *(number % 10 for number in range(60))]),
    }
    source = project / "workflow_scripts/data/published.py"
    text = source.read_text()
    (project / "sets/mnist").mkdir(parents=True)
    for name, content in contents.items():
        (project / "sets/mnist" / name).write_bytes(content)
        text = text.replace(MNIST_MD5[name], hashlib.md5(content).hexdigest())
    source.write_text(text)
    preset = project / PRESETS / "mnist_micro.yaml"
    preset.write_text(
        preset.read_text().replace("train: 4000", "train: 50").replace("test: 1000", "test: 10")
    )
    return project


def _mnist(project, root, *arguments):
    return snakemake(project, "data", *arguments, config=f"preset=mnist_micro data_root={root}")


@pytest.mark.parametrize("fault", ["wrong data root", "damaged file"])
def test_official_images_that_cannot_be_had_do_not_take_the_prepared_arrays_with_them(small_mnist, fault):
    folder = small_mnist / "results/MS1_min_snr/mnist_micro/data"
    first = _mnist(small_mnist, "sets")
    assert first.returncode == 0 and "MNIST: 50 training and 10 test images" in _said(first), _said(first)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "Nothing to be done" in _said(_mnist(small_mnist, "nowhere"))
    # What makes the preparation run again: its code changed.
    source = small_mnist / "workflow_scripts/data/published.py"
    source.write_text(source.read_text() + "\nANOTHER = 1\n")
    if fault == "damaged file":
        path = small_mnist / "sets/mnist" / IMAGES
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    result = _mnist(small_mnist, "sets" if fault == "damaged file" else "nowhere")
    message = "is not MNIST's" if fault == "damaged file" else f"cannot get MNIST's {IMAGES} in nowhere"
    assert result.returncode != 0 and message in _error(result)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("preset", "where"),
    [("cifar10", "cifar-10-python.tar.gz"), ("mnist", f"mnist/{IMAGES}.gz"), ("own", "own")],
)
def test_without_network_and_files_one_line_says_what_to_put_where(own, monkeypatch, preset, where):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nothing listens
    result = snakemake(own, "data", config=f"preset={preset} data_root=nowhere")
    line = _error(result)
    assert result.returncode != 0
    assert f"nowhere/{where}" in line and "put " in line and "data_root=… (make: DATA=…)" in line
    assert not list((own / "results").rglob("*.npz")) and not (own / "nowhere").exists()
