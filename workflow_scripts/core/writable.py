"""Whether a run can write where it will have to, asked before its first job and not after hours of work."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.core.errors import PipelineError


def require_writable(paths: Iterable[str | Path]) -> None:
    """PipelineError unless a file can be made in the folder of every path, or in the nearest folder above it that exists.

    Permissions are not looked at but tried: they do not bind root, and a read-only disk has them as well.
    """
    folders = {_nearest(Path(path).parent) for path in paths}
    for folder in sorted(folders):
        if not folder.is_dir():
            raise PipelineError(f"{folder} is a file where a folder belongs; move it away and run again")
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise PipelineError(
                f"cannot write in {folder}: {error.strerror or error}; make room or fix the permissions and run again"
            ) from error


def _nearest(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        try:
            folder.lstat()  # NotADirectoryError below a file; a broken link is in the way itself
            break
        except OSError:
            folder = folder.parent
    return folder
