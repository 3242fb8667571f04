"""Files that are complete or absent: written aside, flushed, then renamed; read without executing anything."""

from __future__ import annotations

import contextlib
import csv
import glob
import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError, shorten

# What an npz may become in memory: a small file that holds far more than its size is made to fill the machine.
MAX_UNPACKED_BYTES = 2**30
MAX_RATIO = 100


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` if the block succeeds, delete it if it fails.

    A reader therefore sees the old file, the new file or none, never half of one. A full disk or a read-only folder
    becomes a PipelineError that names the file.
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
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
        _flush_folder(path.parent)
    except OSError as error:
        raise PipelineError(
            f"cannot write {path}: {error.strerror or error}; nothing was left half-written, "
            "make room or fix the permissions and run again"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Make the names in a folder last through a power cut, on file systems that can be asked to."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(path: str | Path) -> None:
    """Delete what `atomic_path` left beside `path` in a process that was killed; only while nobody else writes there."""
    path = Path(path)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{glob.escape(path.suffix)}"):
        leftover.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` atomically."""
    write_bytes(path, text.encode())


def canonical_json(value: Any) -> str:
    """One spelling per value: sorted keys, no spaces, no NaN. Equal settings give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def json_bytes(value: Any) -> bytes:
    """`value` as sorted, indented JSON, the content of a file. NaN and infinities are refused with ValueError."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as `json_bytes` spells it."""
    write_bytes(path, json_bytes(value))


def read_json(path: str | Path) -> Any:
    """Read JSON; a missing or damaged file is a PipelineError that names it."""
    try:
        return _parse_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"{path} is not valid JSON ({error}); delete it and run again") from error


def _parse_json(text: str) -> Any:
    """JSON as the standard has it: ValueError also for NaN and infinities, and for half a character, which no file can hold."""
    value = json.loads(text, parse_constant=_no_number)
    if "\\ud" in text.lower():
        canonical_json(value).encode()
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def write_json_lines(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one canonical JSON object per line."""
    write_text(path, "".join(canonical_json(row) + "\n" for row in rows))


def read_json_lines(path: str | Path) -> list[dict[str, Any]]:
    """Read JSON lines; a missing file or a damaged line is a PipelineError that names the line."""
    try:
        # not splitlines, which also cuts at characters that may stand inside a text, such as U+2028
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
    """Write rows under a header; floats are written with repr, which reads back to the same float."""
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
    """Read the named arrays, without pickles. A missing, truncated or altered file is a PipelineError naming it."""
    with _npz(path) as archive:
        return tuple(archive[name] for name in names)


def read_npz_dict(path: str | Path) -> dict[str, Any]:
    """Read every array by its name, with the same errors as `read_npz`."""
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
    except OSError as error:
        raise PipelineError(
            f"cannot read {path}: {error.strerror or error}; delete it and run again"
        ) from error
    except MemoryError as error:
        raise PipelineError(
            f"{path} holds more than fits into memory, or is damaged; delete it and run again"
        ) from error
    except Exception as error:  # numpy raises nearly anything on an altered header
        reason = shorten(error) or type(error).__name__
        raise PipelineError(
            f"{path} is damaged or not what it should be ({reason}); delete it and run again"
        ) from error


def sha256_file(path: str | Path) -> str:
    """The file's sha256 as 64 hex digits."""
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error


def sha256_text(text: str) -> str:
    """The sha256 of UTF-8 text as 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()
