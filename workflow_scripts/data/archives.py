"""Reading the files of a folder, zip or tar(.gz, .xz) one after another, unpacking nothing to disk.

Archives come from anywhere, so nothing in them is believed: names that lead outside, links, devices, a name given
twice, encryption, and sizes beyond the limits below are a PipelineError that names the member. Memory holds one file.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.source_files import check_name, is_leftover, walk

MAX_MEMBERS = 2_000_000
MAX_TOTAL_BYTES = 64 * 2**30  # unpacked
MAX_FILE_BYTES = 64 * 2**20  # unpacked, of a file that is read
MAX_HEADER_BYTES = 2**20  # what a tar may say before a member: its long name and extended attributes

Wanted = Callable[[str], bool]


class Member(NamedTuple):
    """A file or folder by its relative name, with "/"; `content` is None for folders and for what is not wanted."""

    name: str
    content: bytes | None
    is_folder: bool


def iterate_members(path: Path, wanted: Wanted) -> Iterator[Member]:
    """Everything in the folder or archive at `path` but hidden files, with the content of the files that are `wanted`.

    A folder's and a zip's members come sorted by name, a tar's in its own order. PipelineError when there is nothing at
    `path`, when it cannot be read to its end, and for the members named above.
    """
    if path.is_dir():
        members = _folder(path, wanted)
    elif not path.is_file():
        raise PipelineError(f"{path} is missing")
    else:
        members = _zip(path, wanted) if _starts_with(path, b"PK") else _tar(path, wanted)
    seen: set[str] = set()
    for member in members:
        if member.name == ".":  # `tar -c .` names the folder itself
            continue
        if member.name in seen and not member.is_folder:
            raise PipelineError(f"{path}: {member.name!r} is in it twice; pack it again")
        seen.add(member.name)
        yield member


def _folder(path: Path, wanted: Wanted) -> Iterator[Member]:
    limits = _Limits(path)
    for name, is_folder in walk(path):
        read = not is_folder and wanted(name)
        try:
            limits.count(name, 0 if is_folder else (path / name).stat().st_size, read)
            yield Member(name, (path / name).read_bytes() if read else None, is_folder)
        except OSError as error:
            raise PipelineError(f"cannot read {path / name}: {error.strerror or error}") from error


def _zip(path: Path, wanted: Wanted) -> Iterator[Member]:
    limits = _Limits(path)
    with _readable(path), zipfile.ZipFile(path) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            name = check_name(info.filename, path)
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the packer did not say
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _no_plain_file(path, name)
            read = not info.is_dir() and not is_leftover(name) and wanted(name)
            limits.count(name, info.file_size, read)
            if info.flag_bits & 1:
                raise PipelineError(f"{path}: {name!r} is encrypted; pack it without a password")
            if not is_leftover(name):
                # zipfile stops at the size that was counted, and checks the CRC
                yield Member(name, archive.read(info) if read else None, info.is_dir())


def _tar(path: Path, wanted: Wanted) -> Iterator[Member]:
    limits = _Limits(path)
    with _readable(path), _decompressed(path) as raw:
        stream = _Bounded(raw, path)
        # as a stream: nothing is sought, and memory does not grow with the archive
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # tarfile keeps every header it met
                name = check_name(member.name, path)
                if member.issparse() or not (member.isreg() or member.isdir()):
                    raise _no_plain_file(path, name)
                if member.size < 0:
                    raise ValueError(f"{name!r} has a negative size")
                read = member.isreg() and not is_leftover(name) and wanted(name)
                limits.count(name, member.size, read)
                stream.allow(member.size)
                if not is_leftover(name):
                    content = archive.extractfile(member).read() if read else None
                    if content is not None and len(content) != member.size:
                        raise EOFError(f"it ends within {name!r}")
                    yield Member(name, content, member.isdir())
        stream.finish()


class _Limits:
    """Counts members and unpacked bytes of an archive, and stops at the limits."""

    def __init__(self, path: Path):
        self.path, self.members, self.total = path, 0, 0

    def count(self, name: str, size: int, read: bool) -> None:
        self.members, self.total = self.members + 1, self.total + size
        if read and size > MAX_FILE_BYTES:
            raise PipelineError(
                f"{self.path}: {name!r} has {size:,} bytes, more than the {MAX_FILE_BYTES:,} allowed"
            )
        if self.members > MAX_MEMBERS or self.total > MAX_TOTAL_BYTES:
            raise PipelineError(
                f"{self.path}: more than {MAX_MEMBERS:,} members or {MAX_TOTAL_BYTES:,} unpacked bytes, at {name!r}"
            )


class _Bounded(io.RawIOBase):
    """A tar's decompressed bytes, read no further than what its members so far may hold."""

    def __init__(self, raw: BinaryIO, path: Path):
        self.raw, self.path, self.left, self.tail = raw, path, MAX_HEADER_BYTES, b""

    def allow(self, size: int) -> None:
        """A member of `size` bytes follows, then headers again."""
        self.left = size + MAX_HEADER_BYTES

    def read(self, size: int = -1) -> bytes:
        if size < 0 or self.left < 0:
            raise PipelineError(
                f"{self.path}: a header is larger than the {MAX_HEADER_BYTES:,} bytes allowed"
            )
        content = self.raw.read(size)
        self.left -= len(content)
        self.tail = (self.tail + content)[-tarfile.BLOCKSIZE :]
        return content

    def finish(self) -> None:
        """Read on to the end: the compressor's checksum lies there, and a whole tar ends with empty blocks."""
        self.left = MAX_TOTAL_BYTES
        while self.read(2**20):
            pass
        if self.tail != bytes(tarfile.BLOCKSIZE):
            raise EOFError("its end is missing")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what the readers of archives say of a damaged one into a PipelineError."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        OverflowError,
        RecursionError,
    ) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PipelineError(
            f"{path} is truncated, damaged or no zip, tar, tar.gz or tar.xz archive ({said}); get it again"
        ) from error


def _decompressed(path: Path) -> BinaryIO:
    if _starts_with(path, b"\x1f\x8b"):
        return gzip.open(path, "rb")
    return lzma.open(path, "rb") if _starts_with(path, b"\xfd7zXZ\x00") else open(path, "rb")


def _starts_with(path: Path, magic: bytes) -> bool:
    with open(path, "rb") as handle:
        return handle.read(len(magic)) == magic


def _no_plain_file(path: Path, name: str) -> PipelineError:
    return PipelineError(f"{path}: {name!r} is a link, a device or a sparse file; pack the file itself")
