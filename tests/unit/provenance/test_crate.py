"""Crates of a made-up step: names of every kind, and what a check compares."""

from __future__ import annotations

import json
import zipfile

import pytest

from tests.unit.provenance.made_up_project import make_project, record
from workflow_scripts.provenance import recorder
from workflow_scripts.provenance.crate import METADATA, check_crate, write_crate
from workflow_scripts.provenance.lineage import trace

RESULTS = "results/study/preset/results.jsonl"
# Spaces, accents (one letter or two), and what URLs, zips and globs use.
NAMES = ["03 my analysis.ipynb", "V1 pré reg.md", "e\u0301.md", "100%25.md", "a#b?c.md", "[d]:e&f.md"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    root = make_project(tmp_path / "project")
    monkeypatch.chdir(root)
    monkeypatch.setattr(recorder, "ROOT", root)
    (root / "Snakefile").write_text("")
    return root


def pack(root):
    write_crate(root / "crate.zip", trace(root, [RESULTS]), "title", "description", "MIT")
    return root / "crate.zip"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_found_again(root, name):
    (root / name).write_text("own")
    (root / "results").mkdir()
    (root / f"results/{name}.npz").write_text("not packed")
    record({"own": [name, f"results/{name}.npz"]}, {"out": [RESULTS]})
    crate = pack(root)
    assert check_crate(crate) == []
    with zipfile.ZipFile(crate) as archive:
        assert archive.read(name) == b"own"
        ids = [entity["@id"] for entity in json.loads(archive.read(METADATA))["@graph"]]
        archive.extractall(root / "unpacked")
    assert not any(" " in id_ or "é" in id_ for id_ in ids)
    assert check_crate(root / "unpacked") == []
    (root / "unpacked" / name).write_text("changed")
    (problem,) = check_crate(root / "unpacked")
    assert problem.startswith(f"{name} holds ")
