"""Which files a dataset was made from: name, size and sha256 of each, and one digest for all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_file, sha256_text

LAYOUT = "<class>/* or {train,test}/<class>/* (without <class>/ where data.num_classes is null)"
# Left behind by file managers, archivers and file systems, hidden files included.
_LEFTOVERS = re.compile(
    r"\..*|__macosx|(eh)?thumbs(_vista)?\.db(:.*)?|desktop\.ini|icon\r|.*[:\uf03a]zone\.identifier(:.*)?"
    r"|lost\+found|\$recycle\.bin|system volume information|@eadir|#recycle",
    re.IGNORECASE | re.DOTALL,
)


class SourceFile(NamedTuple):
    """`path` relative to where the dataset lies, size in bytes, sha256 as 64 hex digits."""

    path: str
    bytes: int
    sha256: str


def require_source(path: Path, expected_sha256: str | None = None) -> list[SourceFile]:
    """List the files of a user's own images; PipelineError without any or with another sum than expected."""
    if not path.exists():
        raise PipelineError(
            f"{path} is missing; put a folder, .zip or .tar(.gz, .xz) of images laid out {LAYOUT} there, "
            "or say where data lies: --config data_root=… (make: DATA=…)"
        )
    files = describe_source(path)
    if expected_sha256 is not None and (found := combined_sha256(files)) != expected_sha256:
        raise PipelineError(
            f"{path} has sha256 {found}, data.sha256 is {expected_sha256}: it is damaged or another dataset; "
            "put the right one there, or change data.sha256 to use this one"
        )
    return files


def describe_file(path: Path, name: str | None = None) -> SourceFile:
    """Describe one file, called `name` (default: its own); PipelineError when it cannot be read."""
    digest = sha256_file(path)
    return SourceFile(name or path.name, path.stat().st_size, digest)


def describe_source(path: Path) -> list[SourceFile]:
    """Describe the file at `path`, or every file of the folder there, sorted by name; errors as in `walk`."""
    if path.is_file():
        return [describe_file(path)]
    return [describe_file(path / name, name) for name, is_folder in walk(path) if not is_folder]


def combined_sha256(files: Iterable[SourceFile]) -> str:
    """Return one file's own sha256, or that of the list that `sha256sum` prints for several, sorted."""
    files = sorted(files)
    if len(files) == 1:
        return files[0].sha256
    return sha256_text("".join(f"{file.sha256}  {file.path}\n" for file in files))


def walk(folder: Path, below: str = "") -> list[tuple[str, bool]]:
    """List everything below `folder` but hidden files and leftovers: (relative name, is it a folder), sorted.

    PipelineError for a link or a device, a name that `check_name` refuses, and a folder that cannot be read.
    """
    try:
        entries = list(os.scandir(folder / below))
    except OSError as error:
        raise PipelineError(f"cannot read the folder {folder / below}: {error.strerror or error}") from error
    found = []
    for entry in entries:
        name = check_name(f"{below}{entry.name}", folder)
        if is_leftover(entry.name):
            continue
        is_folder = entry.is_dir(follow_symlinks=False)
        if not is_folder and not entry.is_file(follow_symlinks=False):
            raise PipelineError(f"{folder}: {name!r} is a link or a device; put the file itself there")
        found.append((name, is_folder))
        if is_folder:
            found += walk(folder, f"{name}/")
    return sorted(found)


def check_name(name: str, where: Path) -> str:
    """Drop "." parts and a closing "/"; PipelineError for a name that leads outside or cannot be printed.

    Leftovers, which nobody prints, may have any characters.
    """
    # a backslash or a drive letter is a path on other systems
    outside = name.startswith("/") or ".." in name.split("/") or "\\" in name or name[1:2] == ":"
    if outside or (re.search("[\0-\x1f\x7f\ud800-\udfff]", name) and not is_leftover(name)):
        raise PipelineError(f"{where}: {name!r} leads outside the dataset or cannot be printed; rename it")
    return str(PurePosixPath(name))


def is_leftover(name: str) -> bool:
    """Whether a file, or a folder it lies in, is hidden or was left behind by a file manager."""
    return any(map(_LEFTOVERS.fullmatch, PurePosixPath(name).parts))
