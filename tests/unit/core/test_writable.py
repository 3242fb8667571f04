"""Can the run write where it will have to: what is said where it cannot, and nothing is left by asking."""

from __future__ import annotations

import errno
import tempfile

import pytest

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.writable import require_writable


def test_folders_that_exist_and_folders_to_come(tmp_path):
    (tmp_path / "there").mkdir()
    require_writable([tmp_path / "there/a.npz", tmp_path / "new/deep/b.npz", tmp_path / "new/deep/c.npz"])
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "runs").write_text("")
    for path in ("runs/a.npz", "runs/deep/a.npz"):
        with pytest.raises(PipelineError, match="runs is a file where a folder belongs; move it away"):
            require_writable([tmp_path / path])


def test_a_broken_link_in_the_way(tmp_path):
    (tmp_path / "runs").symlink_to(tmp_path / "nowhere")
    with pytest.raises(PipelineError, match="runs is a file where a folder belongs"):
        require_writable([tmp_path / "runs/a.npz"])


@pytest.mark.parametrize("reason", ["Read-only file system", "No space left on device", "Permission denied"])
def test_why_nothing_can_be_written(tmp_path, monkeypatch, reason):
    number = {
        "Read-only file system": errno.EROFS,
        "No space left on device": errno.ENOSPC,
        "Permission denied": errno.EACCES,
    }[reason]

    def refuse(dir):
        raise OSError(number, reason, str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(
        PipelineError, match=f"cannot write in {tmp_path}: {reason}; make room or fix the permissions"
    ):
        require_writable([tmp_path / "a.npz"])
