"""What a manifest says against what its step would run with now (test_change_table.py has whole plans)."""

import os

import pytest

from tests.unit.provenance import made_up_project
from tests.unit.provenance.made_up_project import ENTRY, make_project, record
from workflow_scripts.provenance import recorder
from workflow_scripts.provenance.manifest import manifest_path
from workflow_scripts.provenance.planned_jobs import PlannedJob
from workflow_scripts.provenance.up_to_date import UpToDate

FIRST, SECOND = "results/S/p/first.txt", "results/S/p/second.txt"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project in which a second step has read what a first one made."""
    monkeypatch.chdir(make_project(tmp_path))
    monkeypatch.setattr(recorder, "ROOT", tmp_path)
    made_up_project.forget()
    record({"rows": ["rows.json"]}, {"out": [FIRST]}, {FIRST: "1"})
    record({"rows": [FIRST]}, {"out": [SECOND]}, {SECOND: "2"})
    return tmp_path


def changes(root, output=SECOND, inputs=(FIRST,), **changed):
    called = {"entry": ENTRY, "rule": "collect", "wildcards": {"seed": "1"}, "settings": {}} | changed
    job = PlannedJob(**called, inputs=[("rows", path) for path in inputs], outputs=[("out", output)])
    return list(UpToDate(root).changes(job))


def test_what_is_as_it_was_recorded_holds_whatever_its_time(root):
    os.utime(root / FIRST, (2e9, 2e9))
    os.utime(root / "rows.json", (2e9, 2e9))
    assert changes(root) == changes(root, FIRST, ["rows.json"]) == []


def test_files_of_two_builds_side_by_side_do_not_hold(root):
    """As a sync that stopped half-way leaves them: the first step's output is of another build, and older."""
    record({"rows": ["rows.json"]}, {"out": [FIRST]}, {FIRST: "another"})
    for path in (FIRST, manifest_path(FIRST)):
        os.utime(root / path, (1, 1))
    assert changes(root) == [f"{FIRST} changed"]
    assert changes(root, FIRST, ["rows.json"]) == []


def test_a_source_file_of_the_same_size_and_an_older_time_does_not_hold(root):
    (root / "rows.json").write_text("[2]")
    os.utime(root / "rows.json", (1, 1))
    assert changes(root, FIRST, ["rows.json"]) == ["rows.json changed"]


def test_every_part_of_a_call_counts(root):
    assert changes(root, settings={"x": 1}) == ["x null → 1"]
    assert changes(root, wildcards={"seed": "2"}) == ["wildcards {'seed': '1'} → {'seed': '2'}"]
    assert changes(root, rule="other") == ["rule collect → other"]
    assert changes(root, inputs=["rows.json"]) == [
        f"{FIRST} is no longer an input",
        "rows.json is a new input",
    ]
    (root / "workflow_scripts/study/rows.py").write_text("x = 1")
    made_up_project.forget()
    assert changes(root) == ["changed: workflow_scripts/study/rows.py"]


def test_without_its_manifest_nothing_holds(root):
    manifest_path(root / SECOND).write_text("{}")
    assert changes(root) == ["its manifest is gone"]
    manifest_path(root / SECOND).unlink()
    assert changes(root) == ["its manifest is gone"]
    (root / SECOND).unlink()
    assert changes(root) == ["it does not exist yet"]
