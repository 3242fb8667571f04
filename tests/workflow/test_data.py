"""The dataset alone, and what makes it be prepared again."""

import json

import pytest
import yaml

from tests.unit.data.picture_files import picture, two_classes, write
from tests.workflow.projects import snakemake

DATA = "results/MS1_min_snr/own/data"


@pytest.fixture
def own(project):
    """A project with the preset `own`, whose images of 8 pixels lie in sets/own."""
    preset = yaml.safe_load((project / "config/preset/smoke.yaml").read_text())
    preset["data"] = {
        "source": "image_folder", "title": "Cats and dogs", "path": "own", "image_size": 8, "channels": 3,
        "num_classes": 2, "num_train": None, "num_test": 6, "split_seed": 0,
    }  # fmt: skip
    (project / "config/preset/own.yaml").write_text(yaml.safe_dump(preset))
    write(project / "sets" / "own", two_classes())
    return project


def _data(project, root="sets"):
    return snakemake(project, "data", config=f"preset=own data_root={root}")


def _said(result):
    return result.stdout + result.stderr


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


def test_images_that_are_gone_do_not_take_the_prepared_arrays_with_them(own):
    assert _data(own).returncode == 0
    before = {path.name: path.read_bytes() for path in (own / DATA).iterdir()}
    result = snakemake(own, "data", "--forcerun", "prepare_data", config="preset=own data_root=nowhere")
    assert result.returncode != 0
    assert "error: nowhere/own is missing; put a folder, .zip or .tar(.gz, .xz) of images laid out" in _said(result)
    assert {path.name: path.read_bytes() for path in (own / DATA).iterdir()} == before


def test_bad_images_are_one_line_and_leave_nothing(own):
    (own / "sets/own/set/train/cat/0.png").write_bytes(b"no image")
    result = _data(own)
    assert result.returncode != 0
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("error: ")]
    assert "'set/train/cat/0.png' does not decode" in line
    assert not list((own / DATA).glob("*"))


def test_a_link_is_one_line_when_the_workflow_is_parsed(own):
    (own / "sets/own/set/train/cat/link.png").symlink_to("0.png")
    result = _data(own)
    assert result.returncode != 0 and "Traceback" not in _said(result)
    assert "'set/train/cat/link.png' is a link" in _said(result)
