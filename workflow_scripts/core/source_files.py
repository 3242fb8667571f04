"""Which files a dataset was made from: name, size and sha256 of each, and one digest for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_file, sha256_text

# What file managers and archivers leave behind; never part of a dataset. So is every name that starts with a dot.
_LEFTOVERS = {"__MACOSX", "Thumbs.db", "desktop.ini"}


class SourceFile(NamedTuple):
    """`path` relative to where the dataset lies, so that it says the same on every machine; `bytes`; 64 hex digits."""

    path: str
    bytes: int
    sha256: str


LAYOUT = "<class>/* or {train,test}/<class>/*"


def require_source(path: Path, expected_sha256: str | None = None) -> list[SourceFile]:
    """The files of a user's own images; PipelineError, saying what to put where, when there are none or others.

    `expected_sha256`, if given, is what `combined_sha256` must give.
    """
    if not path.exists():
        raise PipelineError(
            f"{path} is missing; put a folder, .zip or .tar(.gz, .xz) of images laid out {LAYOUT} there, or say where "
            "data lies: --config data_root=… (make: DATA=…)"
        )
    files = describe_source(path)
    if expected_sha256 is not None and (found := combined_sha256(files)) != expected_sha256:
        raise PipelineError(
            f"{path} has sha256 {found}, data.sha256 is {expected_sha256}: it is damaged or another dataset; put the right one "
            "there, or change data.sha256 if this one is meant"
        )
    return files


def describe_file(path: Path, name: str | None = None) -> SourceFile:
    """Size and sha256 of one file, called `name` (default: its own); PipelineError when it cannot be read."""
    digest = sha256_file(path)
    return SourceFile(name or path.name, path.stat().st_size, digest)


def describe_source(path: Path) -> list[SourceFile]:
    """The file at `path`, or every file of the folder at `path`, sorted by name. PipelineError as in `walk`."""
    if path.is_file():
        return [describe_file(path)]
    return [describe_file(path / name, name) for name, is_folder in walk(path) if not is_folder]


def combined_sha256(files: Iterable[SourceFile]) -> str:
    """Of one file its own sha256; of several that of their list as `sha256sum` prints it, sorted by name."""
    files = sorted(files)
    if len(files) == 1:
        return files[0].sha256
    return sha256_text("".join(f"{file.sha256}  {file.path}\n" for file in files))


def walk(folder: Path) -> list[tuple[str, bool]]:
    """(name relative to `folder`, is it a folder) of everything below it, sorted, leftovers left out.

    PipelineError, naming it, for a link, a device or anything else that is neither file nor folder, for a name that
    `check_name` refuses, and for a folder that cannot be read.
    """
    found: list[tuple[str, bool]] = []
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            entries = list(os.scandir(folder / below))
        except OSError as error:
            raise PipelineError(
                f"cannot read the folder {folder / below}: {error.strerror or error}"
            ) from error
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if is_leftover(check_name(name, folder)):
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            if not is_folder and not entry.is_file(follow_symlinks=False):
                raise PipelineError(f"{folder}: {name!r} is a link or a device; put the file itself there")
            found.append((name, is_folder))
            if is_folder:
                waiting.append(name)
    return sorted(found)


def check_name(name: str, where: Path) -> str:
    """The name with "." parts and a closing "/" dropped; PipelineError when it leads outside or cannot be printed."""
    parts = name.split("/")
    printable = all(31 < ord(letter) != 127 and not 0xD800 <= ord(letter) <= 0xDFFF for letter in name)
    # a backslash or a drive letter is a path on other systems
    outside = name.startswith("/") or ".." in parts or "\\" in name or name[1:2] == ":"
    if outside or not printable:
        raise PipelineError(
            f"{where}: the name {name!r} leads outside the dataset or cannot be printed; rename it"
        )
    return str(PurePosixPath(name))


def is_leftover(name: str) -> bool:
    """Whether a name, or a folder it lies in, is hidden or known to be left behind by file managers."""
    return any((part.startswith(".") and part != ".") or part in _LEFTOVERS for part in name.split("/"))
