"""The lineage of a made-up chain of steps, untouched and changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.unit.provenance.made_up_project import ENTRY, make_project, record
from workflow_scripts.core.files import read_json
from workflow_scripts.provenance import manifest, recorder
from workflow_scripts.provenance.lineage import computed_files, trace, tree_lines
from workflow_scripts.provenance.planned_jobs import PlannedJob
from workflow_scripts.provenance.verification import differences, verify
from workflow_scripts.tools.audit import problem_lines

FOLDER = "results/study/preset"
FIRST, MIDDLE, LAST = (f"{FOLDER}/{name}" for name in ("first.json", "middle.json", "last.json"))
TIMING = f"{FOLDER}/timing.json"


def make_first(gamma: int, text: str = "made", **write: str) -> None:
    """Make first.json, which holds `text`, and a timing.json; `write` maps more files to their new text."""
    record(
        {"rows": ["rows.json"]},
        {"out": [FIRST], "timing": [TIMING]},
        volatile=("timing",),
        settings={"loss": {"gamma": gamma}},
        write={FIRST: text, TIMING: f"took {gamma} s", **write},
    )


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """rows.json -> first.json and timing.json -> middle.json -> last.json, which also reads first.json."""
    root = make_project(tmp_path / "project")
    monkeypatch.chdir(root)
    monkeypatch.setattr(recorder, "ROOT", root)
    make_first(5)
    record({"first": [FIRST]}, {"out": [MIDDLE]})
    record({"middle": [MIDDLE], "first": [FIRST], "timing": [TIMING]}, {"out": [LAST]})
    return root


def problems(root, planned=None) -> list[tuple[str, str]]:
    found = verify(trace(root, [LAST]), planned)
    assert found.passed == (not found.problems)
    return [(problem.check, problem.path) for problem in found.problems]


def reseal(path: str, change) -> None:
    """Edit a manifest and make its own sums match again."""
    found = read_json(manifest.manifest_path(path))
    change(found)
    manifest.write_manifest(manifest.manifest_path(path), found["lineage"], found["circumstances"])


def test_an_untouched_chain_holds(root):
    assert problems(root) == []
    assert computed_files(root, "study", "preset") == sorted([FIRST, MIDDLE, LAST, TIMING])


def test_two_manifests_that_claim_one_file_are_found(root):
    shutil.copy(f"{FIRST}.manifest.json", f"{FOLDER}/copy.manifest.json")
    assert problems(root) == [("manifest", FIRST), ("manifest", TIMING)]


def test_every_flipped_byte_of_a_manifest_is_found(root):
    path = manifest.manifest_path(MIDDLE)
    content = path.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x01 if position % 2 else 0x20
        path.write_bytes(bytes(changed))
        try:
            intact = manifest.is_intact(path, manifest.read_manifest(path))
        except (manifest.PipelineError, UnicodeDecodeError):
            intact = False
        around = content[max(position - 20, 0) : position + 20]
        assert not intact, f"byte {position} flipped unnoticed: {around!r}"


def test_what_is_the_same_for_many_steps_is_said_once(root):
    lineage = trace(root, [LAST])
    found = verify(lineage, {})
    (line,) = problem_lines(lineage, found.problems)
    assert len(found.problems) == 3 and "nothing in the current configuration makes" in line
    assert line.endswith("(the same for 2 more: collect seed=1, collect seed=1)")


def test_what_was_made_from_bytes_that_came_out_the_same_still_stands(root):
    make_first(1)
    found = verify(trace(root, [MIDDLE]))
    assert found.passed and any(f"gave {FIRST} the bytes it had" in note for note in found.notes)
    make_first(2)
    assert verify(trace(root, [MIDDLE])).passed, "a third build reproduces the first as well"


def test_what_was_made_from_bytes_that_came_out_otherwise_does_not(root):
    make_first(1, "otherwise")
    assert ("link", MIDDLE) not in problems(root) and ("link", f"{MIDDLE}.manifest.json") in problems(root)
    make_first(1)  # the bytes are back, but nothing says that this build gave those of the first
    assert ("link", f"{MIDDLE}.manifest.json") in problems(root)


def test_a_failure_in_between_does_not_lose_the_earlier_build(root):
    with pytest.raises(manifest.PipelineError):
        make_first(1, **{"rows.json": "[2]"})
    assert not manifest.manifest_path(FIRST).exists()
    Path("rows.json").write_text("[1]")
    make_first(1)
    assert verify(trace(root, [MIDDLE])).passed
    assert list(root.rglob("*.previous")) == []


def nodes(value, path=()):
    """The path of every value inside a JSON value."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield (*path, key)
        yield from nodes(child, (*path, key))


def test_no_edit_of_a_manifest_ends_in_a_traceback_or_goes_unnoticed(root):
    """Replace every value by one of another kind: the audit finds it and never breaks."""
    make_first(1)  # so that `reproduces` is filled
    place = manifest.manifest_path(FIRST)
    original = place.read_text()
    for path in nodes(json.loads(original)):
        for other in (None, 5, "x", ["x"], {"x": "y"}):
            edited = json.loads(original)
            parent = edited
            for key in path[:-1]:
                parent = parent[key]
            if parent[path[-1]] == other:
                continue
            parent[path[-1]] = other
            place.write_text(manifest.json_bytes(edited).decode())
            lineage = trace(root, [LAST])
            found = verify(lineage, plan())
            assert not found.passed, path
            assert tree_lines(lineage, found.sums, found.by_path()), path
            assert problem_lines(lineage, found.problems), path


def test_other_packages_than_are_installed_now_are_named(root):
    reseal(FIRST, lambda found: found["lineage"]["packages"].update(versions={"numpy": "1.0"}))
    (problem,) = verify(trace(root, [FIRST])).problems
    assert problem.check == "packages" and 'numpy "1.0" -> null' in problem.message


def plan(**changes) -> dict[str, PlannedJob]:
    usual = {
        "entry": ENTRY,
        "rule": "collect",
        "wildcards": {"seed": "1"},
        "settings": {"loss": {"gamma": 5}},
        "inputs": [("rows", "rows.json")],
        "outputs": [("out", FIRST), ("timing", TIMING)],
    }
    return {path: PlannedJob(**{**usual, **changes}) for path in (FIRST, TIMING)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"wildcards": {"seed": "2"}}, "says collect seed=1 made it"),
        (
            {"inputs": [("rows", "other.json")]},
            "has other inputs in the workflow: no longer rows.json; now also other.json",
        ),
    ],
)
def test_it_is_compared_with_what_would_run_now(root, changes, said):
    messages = [problem.message for problem in verify(trace(root, [FIRST]), plan(**changes)).problems]
    assert messages == [] if said is None else len(messages) == 1 and said in messages[0]


def test_a_manifest_whose_files_are_all_gone_is_ignored(root):
    Path(LAST).unlink()
    assert LAST not in computed_files(root, "study", "preset")


def test_the_tree_prints_a_step_once_and_then_refers_to_it(root):
    lineage = trace(root, [LAST])
    lines = tree_lines(lineage, (found := verify(lineage)).sums, found.by_path())
    assert lines[0].startswith(LAST) and lines[0].endswith("ok")
    made_first = [line for line in lines if "[3] collect" in line]
    assert len(made_first) == 3 and sum("see above" in line for line in made_first) == 2
    assert any("rows.json" in line and "no step made it" in line for line in lines)
    assert any("measured, outside the chain" in line for line in lines)


@pytest.mark.parametrize("place", ["data/own.zip", "data/other/own.zip"])
def test_a_datasets_source_file_is_checked_where_it_still_lies(root, place):
    """The folder that holds the data has no sum; what was read there stands in the data manifest."""
    path = f"{FOLDER}/data.json"
    sums = {"sha256": "0" * 64}
    content = {
        "title": "Own",
        "train": sums,
        "test": sums,
        "sources_sha256": recorder.sha256_file("rows.json"),
        "sources": [{"path": "own.zip", "bytes": 3, "sha256": recorder.sha256_file("rows.json")}],
    }
    Path(place).parent.mkdir(parents=True)
    shutil.copy("rows.json", place)
    settings = {"data": {"source": "other", "title": "Own"}}
    record(
        {"root": ["data"]},
        {"manifest": [path]},
        write={path: json.dumps(content)},
        settings=settings,
        data_root=Path("data"),
    )
    lineage = trace(root, [path])
    found = verify(lineage, data_root=root / "data")
    assert found.passed and found.notes == []
    assert any(
        "dataset Own: training images 000000000000" in line
        for line in tree_lines(lineage, found.sums, found.by_path())
    )
    Path(place).write_text("[2]")
    (problem,) = verify(lineage, data_root=root / "data").problems
    assert problem.path == "data_root/own.zip" and "collect seed=1 read" in problem.message
    Path(place).unlink()
    found = verify(lineage, data_root=root / "data")
    assert found.passed and "1 of 1 source files of Own do not lie below the data root" in found.notes[0]


def test_settings_are_compared_by_dotted_key():
    assert differences({"a": {"b": 1, "c": None}, "d": [1]}, {"a": {"b": 2}, "d": [1]}) == ["a.b 1 -> 2"]
    assert differences({"a": 5}, {"a": 5.0}) == ["a 5 -> 5.0"]
    arms = [[{"name": "E1", "gamma": None}, {"name": "E2", "gamma": gamma}] for gamma in (5, 1)]
    assert differences({"arms": arms[0]}, {"arms": arms[1]}) == ["arms[E2].gamma 5 -> 1"]
    assert differences({"seeds": [1, 2]}, {"seeds": [1, 3]}) == ["seeds[1] 2 -> 3"]
    assert differences({"seeds": [1, 2]}, {"seeds": [1]}) == ["seeds [1,2] -> [1]"]
