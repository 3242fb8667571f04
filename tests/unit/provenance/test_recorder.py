"""What a step's manifest holds: a tiny step is recorded in a project of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.provenance.made_up_project import ENTRY, begin, forget, make_project, record
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json, sha256_text
from workflow_scripts.provenance import manifest, recorder
from workflow_scripts.provenance.lineage import StepRecord
from workflow_scripts.provenance.recorder import commit, machine


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """The made-up project as the current folder."""
    root = make_project(tmp_path / "project")
    monkeypatch.chdir(root)
    monkeypatch.setattr(recorder, "ROOT", root)
    return root


def test_it_names_every_file_with_its_sum_and_the_code(root):
    made = record(
        {"rows": ["rows.json"]},
        {"results": ["results/r.jsonl"], "more": ["results/m.json"]},
    )
    found = manifest.read_manifest(root / "results/r.jsonl.manifest.json")
    lineage, circumstances = found["lineage"], found["circumstances"]
    assert (lineage["rule"], lineage["wildcards"], lineage["entry"]) == ("collect", {"seed": "1"}, ENTRY)
    assert lineage["inputs"] == [
        {"name": "rows", "path": "rows.json", "size": 3, "sha256": sha256_text("[1]"), "lineage_sha256": None}
    ]
    assert [(file["name"], file["path"], file["size"], file["sha256"]) for file in lineage["outputs"]] == [
        ("results", "results/r.jsonl", 4, sha256_text("made")),
        ("more", "results/m.json", 4, sha256_text("made")),
    ]
    names = [f"steps/{ENTRY}.py", "__init__.py", "steps/__init__.py", "study/__init__.py", "study/rows.py"]
    assert set(lineage["source"]["files"]) == {f"workflow_scripts/{name}" for name in names}
    assert found["lineage_sha256"] == sha256_text(canonical_json(lineage))
    assert found["circumstances_sha256"] == sha256_text(canonical_json(circumstances))
    assert made.input_lineage_sha256 == StepRecord("", found).input_lineage_sha256
    assert circumstances["started"] <= circumstances["ended"] and circumstances["peak_memory_mb"] > 1
    assert re.fullmatch(r"\d+\.\d+\.\d+", circumstances["python"])


@pytest.mark.parametrize("change", ["input", "settings", "code", "wildcards"])
def test_what_goes_in_changes_the_lineage(root, change):
    before = record({"rows": ["rows.json"]}, {"results": ["out"]}).input_lineage_sha256
    options = {}
    if change == "input":
        Path("rows.json").write_text("[2]")
    elif change == "code":
        (root / "workflow_scripts/study/rows.py").write_text("x = 1\n")
        forget()
    else:
        options = {"settings": {"a": 1}} if change == "settings" else {"wildcards": {"seed": "2"}}
    assert record({"rows": ["rows.json"]}, {"results": ["out"]}, **options).input_lineage_sha256 != before


def test_an_input_that_changes_while_the_step_runs_is_an_error(root):
    with pytest.raises(PipelineError, match="rows.json changed while the step ran"):
        record({"rows": ["rows.json"]}, {"results": ["out"]}, write={"out": "1", "rows.json": "[2]"})
    assert not Path("out.manifest.json").exists()


def test_a_new_file_time_alone_is_no_change_and_an_old_manifest_is_gone_while_the_step_works(root):
    record({"rows": ["rows.json"]}, {"results": ["out"]})
    made = begin({"rows": ["rows.json"]}, {"results": ["out"]}, {})
    assert not Path("out.manifest.json").exists()
    os.utime("rows.json", (1, 1))
    made.finish()
    assert Path("out.manifest.json").exists()


def test_a_manifest_beside_the_former_first_output_goes_as_well(root):
    points, log = {"points": ["results/run/points/1.pt"]}, {"log": ["results/run/points/log.csv"]}
    record({"rows": ["rows.json"]}, {**points, **log})
    record({"rows": ["rows.json"]}, {**log, **points})
    assert [path.name for path in root.rglob("*.manifest.json")] == ["log.csv.manifest.json"]


def test_by_hand_nothing_is_written_and_an_unwritten_output_is_an_error(root):
    assert len(record({"rows": ["rows.json"]}, {"results": ["out"]}, rule=None).input_lineage_sha256) == 64
    assert not Path("out.manifest.json").exists()
    with pytest.raises(PipelineError, match="without writing missing.json"):
        record({}, {"results": ["missing.json"]}, write={"out": "1"})


def test_it_names_no_machine_no_user_and_no_absolute_path(root, tmp_path):
    (tmp_path / "elsewhere.bin").write_text("x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/images.zip").write_text("x")
    inputs = {
        "root": [tmp_path / "data"],
        "images": [tmp_path / "data/images.zip"],
        "weights": [tmp_path / "elsewhere.bin"],
    }
    record(inputs, {"results": ["out"]}, data_root=tmp_path / "data")
    text = Path("out.manifest.json").read_text()
    assert [file["path"] for file in json.loads(text)["lineage"]["inputs"]] == [
        "data_root",
        "data_root/images.zip",
        "elsewhere/elsewhere.bin",
    ]
    for secret in (str(tmp_path), os.uname().nodename, str(Path.home())):
        assert secret not in text
    assert set(machine()) == {"host_class", "cpu", "cores", "memory_gib", "gpu", "driver"}


@pytest.mark.parametrize(
    "module, driver",
    [
        ("x86_64 Kernel Module  535.183.06  Wed Jun 26", "535.183.06"),
        ("Open Kernel Module for x86_64  580.159.04  Release Build", "580.159.04"),
    ],
)
def test_the_driver_of_a_gpu_is_named_for_either_kernel_module(monkeypatch, tmp_path, module, driver):
    monkeypatch.setattr(recorder, "_NVIDIA", tmp_path)
    (tmp_path / "version").write_text(
        f"NVRM version: NVIDIA UNIX {module}\nGCC version:  gcc version 12.3.0\n"
    )
    (tmp_path / "gpus/0000:00:06.0").mkdir(parents=True)
    (tmp_path / "gpus/0000:00:06.0/information").write_text("Model: \t\t NVIDIA H200\nIRQ:   \t\t 45\n")
    assert machine()["driver"] == driver
    assert machine()["gpu"] == ["NVIDIA H200"]


def test_the_commit_and_whether_the_tree_was_clean(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, "-C", tmp_path, *arguments], check=True, capture_output=True)

    nothing = {"commit": None, "tree_clean": None, "diff_sha256": None}
    assert commit(tmp_path) == nothing
    git("init")
    assert commit(tmp_path) == nothing
    (tmp_path / "a.py").write_text("a")
    (tmp_path / "Snakefile").touch()
    git("add", "a.py", "Snakefile")
    git("commit", "--message", "first")
    clean = commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", clean["commit"])
    assert (clean["tree_clean"], clean["diff_sha256"]) == (True, None)
    changes = []
    for text in ("b", "c"):
        (tmp_path / "a.py").write_text(text)
        changes.append(commit(tmp_path))
    assert not changes[0]["tree_clean"] and changes[0]["diff_sha256"] != changes[1]["diff_sha256"]


def test_another_repository_and_the_users_git_settings_change_no_commit(tmp_path, monkeypatch):
    other, project = tmp_path / "other", tmp_path / "other/project"

    def git(folder, *arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, "-C", folder, *arguments], check=True, capture_output=True)

    project.mkdir(parents=True)
    (project / "Snakefile").write_text("one\ntwo\n")
    (project / "a.py").write_text("a\n" * 20)
    shutil.copy(recorder.ROOT / ".gitignore", project)
    git(other, "init")
    git(other, "commit", "--allow-empty", "--message", "of the other")
    assert commit(project)["commit"] is None  # unpacked without .git below another repository
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))  # as in a git hook
    assert commit(project)["commit"] is None
    monkeypatch.delenv("GIT_DIR")
    git(project, "init")
    git(project, "add", ".")
    git(project, "commit", "--message", "first")
    clean = commit(project)
    assert clean["tree_clean"]
    (project / "results").symlink_to(tmp_path)  # to another disk
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    os.utime(project / "a.py", (1, 1))
    assert commit(project) == clean
    (project / "a.py").write_text("a\n" * 10 + "b\n" + "a\n" * 9)
    (project / "note.txt").touch()
    changed = commit(project)
    assert changed["commit"] == clean["commit"] and not changed["tree_clean"]
    settings = """
        [status]\n showUntrackedFiles = no\n[core]\n excludesFile = ignored\n autocrlf = true
        [diff]\n noprefix = true\n external = false\n autoRefreshIndex = false\n"""
    (tmp_path / "ignored").write_text("note.txt\n")
    (tmp_path / ".gitconfig").write_text(settings.replace("ignored", str(tmp_path / "ignored")))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert commit(project) == changed


def test_a_manifest_of_another_version_is_refused(tmp_path):
    (tmp_path / "x.manifest.json").write_text('{"manifest_version": 99}')
    with pytest.raises(PipelineError, match="has version 99, this code reads 1"):
        manifest.read_manifest(tmp_path / "x.manifest.json")
