"""Read and write files: atomic writes, canonical JSON, npz without pickles, and errors that name the file."""

from __future__ import annotations

import contextlib
import csv
import glob
import hashlib
import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError, shorten

# Limits of what an npz may unpack to, so that a small crafted file cannot fill the memory.
MAX_UNPACKED_BYTES = 2**30
MAX_RATIO = 100
# The user's umask, which a process can only read by setting it; files of mkstemp ignore it.
UMASK = os.umask(0o077)
os.umask(UMASK)


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds, else delete it.

    Readers see the old file, the new file or none, never half of one. PipelineError, naming the file, when it
    cannot be written (full disk, read-only folder).
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~UMASK)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise PipelineError(
            f"cannot write {path}: {error.strerror or error}; nothing was left half-written, "
            "make room or fix the permissions and run again"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_leftovers(path: str | Path) -> None:
    """Delete what a killed `atomic_path(path)` left; only while no other process writes `path`."""
    path = Path(path)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{glob.escape(path.suffix)}"):
        leftover.unlink(missing_ok=True)


def require_writable(paths: Iterable[str | Path]) -> None:
    """PipelineError unless a file can be created in each path's folder, or the nearest existing one above.

    It tries instead of reading permissions, which do not bind root and say nothing about a read-only disk.
    """
    for folder in sorted({Path(path).parent for path in paths}):
        while not os.path.lexists(folder):  # lexists, so that a broken link counts as something in the way
            folder = folder.parent
        if not folder.is_dir():
            raise PipelineError(f"{folder} is a file where a folder belongs; move it away and run again")
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise PipelineError(
                f"cannot write in {folder}: {error.strerror or error}; make room or fix the permissions"
            ) from error


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` atomically."""
    write_bytes(path, text.encode())


def canonical_json(value: Any) -> str:
    """Equal values give equal strings: sorted keys, no spaces; ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def ascii_json(value: Any) -> str:
    """`canonical_json` for a command line: in ASCII, which every locale can encode."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def json_bytes(value: Any) -> bytes:
    """The content of a JSON file: sorted and indented; ValueError for NaN and infinities."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def write_json(path: str | Path, value: Any) -> None:
    """Write `json_bytes(value)` atomically."""
    write_bytes(path, json_bytes(value))


def read_json(path: str | Path) -> Any:
    """Read JSON; PipelineError, naming the file, when it is missing or damaged."""
    try:
        return _parse_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"{path} is not valid JSON ({error}); delete it and run again") from error


SHA256 = "64 hex digits"
_KINDS = {str: "text", int: "a whole number", list: "a list", SHA256: f"a sha256 of {SHA256}"}
Fields = Mapping[str, type | str]

# The fields that later steps read of R/data/manifest.json, R/extractor/extractor.json and
# R/stats/reference.json.
DATASET_MANIFEST: Fields = {
    "title": str,
    "licence": str,
    "shape": list,
    "classes": list,
    "train.count": int,
    "train.sha256": SHA256,
    "test.count": int,
    "test.sha256": SHA256,
    "sources_sha256": SHA256,
}
EXTRACTOR_INFO: Fields = {"name": str, "feature_dim": int, "extractor_sha256": SHA256}
REFERENCE_INFO: Fields = {
    "metric": str,
    "extractor_sha256": SHA256,
    "reference_sha256": SHA256,
    "features_sha256": SHA256,
}


def read_document(path: str | Path, fields: Fields) -> dict[str, Any]:
    """Read a JSON object with all these (dotted) fields, each of its kind; PipelineError names a bad one."""
    document = read_json(path)
    for dotted, kind in fields.items():
        value = document
        for part in dotted.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if kind is SHA256:
            fits = isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
        else:
            fits = isinstance(value, kind) and not isinstance(value, bool)  # True is an int in Python
        if not fits:
            raise PipelineError(
                f"{path}: {dotted} is {shorten(repr(value))}, must be {_KINDS[kind]}; delete it and run again"
            )
    return document


def _parse_json(text: str) -> Any:
    """Parse strict JSON: ValueError also for NaN, infinities and lone surrogates, which cannot be written."""
    value = json.loads(text)
    canonical_json(value).encode()
    return value


def write_json_lines(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one canonical JSON object per line."""
    write_text(path, "".join(canonical_json(row) + "\n" for row in rows))


def read_json_lines(path: str | Path) -> list[dict[str, Any]]:
    """Read JSON lines; PipelineError for a missing file or a damaged line, whose number it names."""
    try:
        # Not splitlines, which also cuts at characters that a text may contain, such as U+2028.
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"cannot read {path}: {error}") from error
    rows = []
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, start=1):
        try:
            row = _parse_json(line)
            if not isinstance(row, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as error:
            raise PipelineError(
                f"{path}, line {number}: not a JSON object ({error}); delete the file and run again"
            ) from error
        rows.append(row)
    return rows


def write_csv(path: str | Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write rows under a header; floats are written with repr, so they read back equal."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def write_npz(path: str | Path, **arrays: Any) -> None:
    """Write a compressed npz. The bytes depend on the arrays only: numpy stamps every member 1980-01-01."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def read_npz(path: str | Path, *names: str) -> tuple[Any, ...]:
    """Read the named arrays, without pickles; PipelineError, naming the file, if it is missing or damaged."""
    with _npz(path) as archive:
        return tuple(archive[name] for name in names)


def read_npz_dict(path: str | Path) -> dict[str, Any]:
    """Read every array, by name, with the errors of `read_npz`."""
    with _npz(path) as archive:
        return {name: archive[name] for name in archive.files}


@contextlib.contextmanager
def _npz(path: str | Path) -> Iterator[Any]:
    import numpy as np

    try:
        with zipfile.ZipFile(path) as packed:
            unpacked = sum(member.file_size for member in packed.infolist())
            if unpacked > max(MAX_UNPACKED_BYTES, MAX_RATIO * os.path.getsize(path)):
                raise ValueError(f"it would unpack to {unpacked:,} bytes")
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except Exception as error:  # numpy raises nearly anything on an altered header
        reason = getattr(error, "strerror", None) or shorten(error) or type(error).__name__
        raise PipelineError(
            f"{path} is missing, damaged or not what it should be ({reason}); delete it and run again"
        ) from error


def sha256_file(path: str | Path) -> str:
    """The file's sha256 as 64 hex digits."""
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error


def sha256_lines(path: str | Path) -> str:
    """The sha256 of a text file as git keeps it, with lines that end in "\\n"."""
    try:
        return hashlib.sha256(Path(path).read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error


def sha256_text(text: str) -> str:
    """The sha256 of UTF-8 text as 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()
