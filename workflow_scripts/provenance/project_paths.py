"""Paths as manifests name them: relative to the project or to the data root, the same on every machine."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

DATA_ROOT = "data_root"
ELSEWHERE = "elsewhere"


def portable_path(path: str | Path, root: Path, data_root: Path | None = None) -> str:
    """`path` relative to `root`; below the data root as `data_root/…`; anything else by its name only, `elsewhere/…`.

    Links are not followed, so that a results folder may be a link to another disk.
    """
    absolute = Path(os.path.abspath(path))
    # the data root first: by default it lies inside the project
    for base, prefix in ((data_root, DATA_ROOT), (root, "")):
        if base is not None and absolute.is_relative_to(base := Path(os.path.abspath(base))):
            return PurePosixPath(prefix, absolute.relative_to(base).as_posix()).as_posix()
    return f"{ELSEWHERE}/{absolute.name}"


def local_path(name: str, root: Path, data_root: Path | None = None) -> Path | None:
    """Where the file that a manifest calls `name` lies here; None where that is not known."""
    first, _, rest = name.partition("/")
    if first == ELSEWHERE:
        return None
    if first == DATA_ROOT:
        return None if data_root is None else data_root / rest
    return root / name
