"""The files of a run are complete or refused by name, and a damaged one never pushes out a good one."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
import torch

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.training.saved_run import SavedRun

IDENTITY = {"settings": {"arm": "A"}, "train": "ab"}


def _content(step: int) -> dict:
    return {"weights": torch.full((50,), float(step)), "rows": [(step, 0.1)], "none": None}


def _open(folder, said=None, identity=None) -> SavedRun:
    saved = SavedRun(folder / "kept", identity or IDENTITY, [].append if said is None else said.append)
    saved.prepare()
    return saved


def _save(saved: SavedRun, *steps: int) -> None:
    for step in steps:
        saved.save(step, _content(step))


def test_the_newest_state_comes_back_and_two_are_kept(tmp_path):
    saved = _open(tmp_path)
    assert saved.load() is None
    _save(saved, 1, 2, 12345678)
    (saved.folder / ".step0000006.state.abc.state").write_bytes(b"half")  # from a killed process
    saved = _open(tmp_path)
    content = saved.load()
    assert torch.equal(content["weights"], torch.full((50,), 12345678.0))
    assert content["rows"] == [(12345678, 0.1)] and content["none"] is None
    assert sorted(path.name for path in saved.folder.iterdir()) == ["step0000002.state", "step12345678.state"]


def _truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip_a_bit(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("damage", [_truncate, _flip_a_bit])
def test_a_damaged_state_is_named_and_the_one_before_it_used(tmp_path, damage):
    saved = _open(tmp_path)
    _save(saved, 5, 6)
    newest = saved.folder / "step0000006.state"
    newest.write_bytes(damage(newest.read_bytes()))
    said = []
    saved = _open(tmp_path, said)
    assert saved.load()["rows"] == [(5, 0.1)]
    # what was refused is gone, so that it counts as no generation from now on
    _save(saved, 6, 7)
    assert sorted(path.name for path in saved.folder.iterdir()) == ["step0000006.state", "step0000007.state"]
    (line,) = said
    assert "step0000006.state" in line and line.endswith("this saved state is not used")


def test_with_every_state_damaged_training_starts_again_and_says_so(tmp_path):
    saved, said = _open(tmp_path), []
    _save(saved, 5, 6)
    for path in saved.folder.iterdir():
        path.write_bytes(_truncate(path.read_bytes()))
    assert _open(tmp_path, said).load() is None
    assert "step0000006.state" in said[0] and "step0000005.state" in said[1]
    assert said[2:] == ["no saved state is left; training starts from the beginning"]


@pytest.mark.parametrize(
    "change", [lambda path: path.unlink(), lambda path: path.write_bytes(_flip_a_bit(path.read_bytes()))]
)
def test_a_state_whose_checkpoint_is_gone_or_altered_is_refused(tmp_path, change):
    saved = _open(tmp_path)
    _save(saved, 5)
    saved.checkpoint_path(6).write_bytes(b"weights of step 6")
    _save(saved, 7)
    change(saved.checkpoint_path(6))
    said = []
    saved = _open(tmp_path, said)
    assert saved.load()["rows"] == [(5, 0.1)]
    assert len(said) == 1 and "step0000006.pt" in said[0] and "step0000007.state" in said[0]


def test_states_of_other_settings_are_not_read_and_go_at_the_end(tmp_path):
    saved = _open(tmp_path)
    _save(saved, 5)
    said = []
    other = _open(tmp_path, said, {**IDENTITY, "train": "cd"})
    assert other.load() is None
    _save(other, 3)
    other.discard()
    assert said == [
        "saved states of other settings, data or code are not used; training starts from the beginning"
    ]
    saved = _open(tmp_path)
    assert saved.load()["rows"] == [(5, 0.1)]
    saved.finish()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("links", [True, False])
def test_publishing_makes_a_whole_file_and_leaves_the_kept_one(tmp_path, links, monkeypatch):
    if not links:

        def refuse(*_):
            raise OSError("no hard links here")

        monkeypatch.setattr(os, "link", refuse)
    output = tmp_path / "out" / "step0000006.pt"
    saved = _open(tmp_path)
    saved.checkpoint_path(6).write_bytes(b"weights")
    for _ in range(2):  # again, after a kill between publishing and the end
        saved.publish(6, output)
        assert list(output.parent.iterdir()) == [output] and output.read_bytes() == b"weights"
    assert os.path.samefile(output, saved.checkpoint_path(6)) == links
    output.unlink()  # as a workflow manager does with the outputs of a failed job
    assert saved.checkpoint_path(6).read_bytes() == b"weights"


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path):
    (tmp_path / "kept").write_text("a file stands where the folder should be")
    with pytest.raises(PipelineError, match="cannot write .*kept"):
        _open(tmp_path)


def _die_at(folder: Path, call: int) -> None:
    """Save in a process that ends, without any clean-up, before the `call`-th call that changes the disk."""
    import tempfile

    count = 0

    def dying(function):
        def wrapper(*arguments, **options):
            nonlocal count
            if count == call:
                os._exit(9)
            count += 1
            return function(*arguments, **options)

        return wrapper

    calls = {tempfile: ["mkstemp"], os: ["fsync", "chmod", "replace"], Path: ["unlink", "write_bytes"]}
    for module, name in ((module, name) for module, names in calls.items() for name in names):
        setattr(module, name, dying(getattr(module, name)))
    saved = _open(folder)
    count = 0
    _save(saved, 7)
    os._exit(0)


def test_dying_between_any_two_writes_leaves_the_old_state_or_the_new_one(tmp_path):
    """Every place at which power may fail while a state is saved, one after the other."""
    found = []
    for call in range(40):
        folder = tmp_path / str(call)
        saved = _open(folder)
        _save(saved, 5, 6)
        process = multiprocessing.get_context("fork").Process(target=_die_at, args=(folder, call))
        process.start()
        process.join()
        said = []
        saved = _open(folder, said)
        found.append(saved.load()["rows"][0][0])
        # only whole states, and never more than one beyond the two
        assert said == [] and 2 <= len(list(saved.folder.iterdir())) <= 3
        if process.exitcode == 0:
            break
    assert process.exitcode == 0 and found == sorted(found) and set(found) == {6, 7} and len(found) > 5, found
