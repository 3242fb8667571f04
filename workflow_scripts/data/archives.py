"""The files of a folder, .zip or .tar(.gz, .xz), read one after another; nothing is unpacked to disk."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from workflow_scripts.core.errors import PipelineError, shorten
from workflow_scripts.core.source_files import check_name, is_leftover, walk

MAX_FILE_BYTES = 64 * 2**20  # unpacked


class Member(NamedTuple):
    """A file or folder by its relative name, with "/"; `content` is None for folders and unwanted files."""

    name: str
    is_folder: bool
    content: bytes | None


def read_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    """Yield everything at `path` except hidden files, with the content of the files that are `wanted`.

    PipelineError, naming `path` or the member, for anything damaged or incomplete, a wanted file of more than
    MAX_FILE_BYTES, a name given twice, a name that leads outside, a link, a device and an encrypted file.
    """
    seen: set[str] = set()
    try:
        for packed_name, is_folder, num_bytes, open_file in _entries(path):
            name = check_name(packed_name, path)
            if name == "." or is_leftover(name):  # `tar -c .` names the folder itself
                continue
            if name in seen and not is_folder:
                raise PipelineError(f"{path} holds {name!r} twice; pack it again")
            seen.add(name)
            content = None
            if wanted(name) and not is_folder:
                if num_bytes > MAX_FILE_BYTES:
                    raise PipelineError(
                        f"{path}: {name!r} has {num_bytes:,} bytes, more than the {MAX_FILE_BYTES:,} "
                        "allowed; make it smaller"
                    )
                with open_file() as handle:
                    content = handle.read()
            yield Member(name, is_folder, content)
    except (PipelineError, MemoryError):
        raise
    except Exception as error:  # a damaged or encrypted archive may raise nearly anything
        raise PipelineError(
            f"cannot read {path} ({shorten(error) or type(error).__name__}); "
            "put an intact folder, .zip or .tar(.gz, .xz) there, without a password"
        ) from error


def _entries(path: Path) -> Iterator[tuple[str, bool, int, Callable[[], IO[bytes]]]]:
    """Yield name, whether it is a folder, size in bytes, and the function that opens it."""
    if path.is_dir():
        for name, is_folder in walk(path):
            file = path / name
            yield name, is_folder, file.stat().st_size, partial(file.open, "rb")
        return
    with open(path, "rb") as handle:
        is_zip = handle.read(2) == b"PK"
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.replace("\\", "/")  # older tools of Windows write backslashes
                # zipfile stops at `file_size`, whatever a file unpacks to, and checks its CRC
                yield name, name.endswith("/"), info.file_size, partial(archive.open, info)
        return
    with tarfile.open(path) as archive:
        for member in archive:
            if member.issparse() or not (member.isreg() or member.isdir()):
                raise PipelineError(
                    f"{path}: {member.name!r} is a link, a device or a sparse file; pack the file itself"
                )
            yield member.name, member.isdir(), member.size, partial(archive.extractfile, member)
        # tarfile stops at an empty block, and silently at a header it cannot read. In a whole archive only
        # empty blocks follow, and then the compressor's checksum.
        rest = archive.fileobj.read(2**20)
        if not rest or rest.strip(b"\0"):
            raise EOFError("its end is missing")
        while archive.fileobj.read(2**20):
            pass
