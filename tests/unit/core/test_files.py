"""Files are complete or absent, what is read is checked, and unwritable folders are named beforehand."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.core import files
from workflow_scripts.core.errors import PipelineError


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "result.json"
    files.write_json(target, {"value": 1})
    with pytest.raises(RuntimeError), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed in the middle")
    assert files.read_json(target) == {"value": 1}
    assert os.listdir(tmp_path) == ["result.json"]


def test_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path):
    with pytest.raises(PipelineError, match="No space left"), files.atomic_path(tmp_path / "result.bin"):
        Path("/dev/full").write_bytes(b"x")  # every Linux has it
    assert os.listdir(tmp_path) == []


def test_unwritable_place_names_the_file(tmp_path):
    (tmp_path / "folder").write_text("a file where a folder should be")
    with pytest.raises(PipelineError, match="folder/result.json"):
        files.write_json(tmp_path / "folder" / "result.json", {})


@pytest.mark.parametrize(("umask", "mode"), [("0002", 0o664), ("0022", 0o644), ("0077", 0o600)])
def test_files_have_the_permissions_that_the_umask_asks_for(tmp_path, umask, mode):
    """So that the other members of a group can go on, or nobody else can read."""
    code = "from workflow_scripts.core import files, step; files.write_text('a/b', ''); "
    code += "step.take_turn(step.Path('b.lock'), print)"
    words = ["sh", "-c", f'umask {umask}; exec {sys.executable} -c "{code}"']
    subprocess.run(words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd()}, check=True)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a/b", "b.lock")] == [mode, mode]


def test_canonical_json_has_one_spelling_and_refuses_nan():
    assert files.canonical_json({"b": [1, 2.5], "a": "γ"}) == '{"a":"γ","b":[1,2.5]}'
    assert files.canonical_json({"x": 1, "y": 2}) == files.canonical_json({"y": 2, "x": 1})
    with pytest.raises(ValueError):
        files.canonical_json({"x": float("nan")})


def test_npz_bytes_depend_on_the_arrays_only(tmp_path):
    array = np.arange(1000, dtype=np.uint8)
    files.write_npz(tmp_path / "a.npz", images=array)
    os.utime(tmp_path / "a.npz", (0, 0))
    files.write_npz(tmp_path / "b.npz", images=array)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    (back,) = files.read_npz(tmp_path / "a.npz", "images")
    assert np.array_equal(back, array)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "other keys", "empty"])
def test_damaged_npz_is_named(tmp_path, damage):
    path = tmp_path / "samples.npz"
    files.write_npz(path, images=np.random.default_rng(0).integers(0, 255, 5000, dtype=np.uint8))
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "missing":
        path.unlink()
    elif damage == "other keys":
        np.savez(path, other=np.zeros(2))
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]
        path.write_bytes({"truncated": content[:middle], "flipped": flipped, "empty": b""}[damage])
    with pytest.raises(PipelineError, match="samples.npz"):
        files.read_npz(path, "images")


def test_damaged_json_lines_name_the_line(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(PipelineError, match="line 2"):
        files.read_json_lines(path)


def test_folders_that_exist_and_folders_to_come_are_writable_and_stay_as_they_were(tmp_path):
    (tmp_path / "there").mkdir()
    files.require_writable([tmp_path / path for path in ("there/a.npz", "new/deep/b.npz", "new/deep/c.npz")])
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


@pytest.mark.parametrize("kind", ["file", "broken link"])
@pytest.mark.parametrize("path", ["runs/a.npz", "runs/deep/a.npz"])
def test_something_in_the_way_of_a_folder(tmp_path, kind, path):
    if kind == "file":
        (tmp_path / "runs").write_text("")
    else:
        (tmp_path / "runs").symlink_to(tmp_path / "nowhere")
    with pytest.raises(PipelineError, match="runs is a file where a folder belongs; move it away"):
        files.require_writable([tmp_path / path])


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_why_nothing_can_be_written(tmp_path, monkeypatch, number):
    def refuse(dir):
        raise OSError(number, os.strerror(number), str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    message = f"cannot write in {tmp_path}: {os.strerror(number)}; make room or fix the permissions"
    with pytest.raises(PipelineError, match=message):
        files.require_writable([tmp_path / "a.npz"])
