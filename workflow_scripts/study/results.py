"""Metric rows: the one format of every measurement, checked, merged, and never compared when unlike."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError, shorten
from workflow_scripts.core.files import canonical_json, read_json, read_json_lines

Row = Mapping[str, Any]

_REQUIRED = {
    "study": str,
    "preset": str,
    "arm": str,
    "seed": int,
    "step": int,
    "metric": str,
    "value": float,
    "checkpoint_sha256": str,
    "ema": bool,
}
# A row describes either generated images or a probed loss; the group that does not apply is null throughout.
_IMAGES = {
    "sampler": str,
    "nfe": int,
    "num_samples": int,
    "extractor": str,
    "extractor_sha256": str,
    "reference_sha256": str,
}
_PROBES = {"objective": str, "num_probes": int, "probe_sha256": str}
_OPTIONAL = {"stderr": float, "interval_low": float, "interval_high": float, "eta": float}
_TYPES = {**_REQUIRED, **_OPTIONAL, **_IMAGES, **_PROBES}
_TYPE_NAMES = {str: "text", int: "a whole number", float: "a finite number", bool: "true or false"}

# Two rows that are compared may differ in these; everything else is the row's identity.
_NOT_IDENTITY = ("arm", "seed", "value", "stderr", "interval_low", "interval_high", "checkpoint_sha256")
FIELDS = tuple(_TYPES)
IDENTITY_FIELDS = tuple(name for name in FIELDS if name not in _NOT_IDENTITY)


def check_row(row: Row, where: str | Path) -> None:
    """Raise PipelineError, naming `where` and the field, unless `row` is a complete and finite metric row."""
    if mistake := _mistake(row):
        raise PipelineError(f"{where}: {mistake}; delete the file and run again")


def _mistake(row: Row) -> str | None:
    unknown, missing = sorted(set(row) - set(_TYPES)), sorted(set(_TYPES) - set(row))
    if missing:
        return f"a metric row lacks {', '.join(missing)}"
    if unknown:
        return f"a metric row has unknown {shorten(', '.join(unknown))}"
    for name, kind in _TYPES.items():
        if not (_is(row[name], kind) or (row[name] is None and name not in _REQUIRED)):
            return f"{name} of a metric row is {shorten(repr(row[name]))}, must be {_TYPE_NAMES[kind]}"
    low, high = row["interval_low"], row["interval_high"]
    if (low is None) != (high is None) or (low is not None and not low <= high):
        return f"a metric row has an interval from {low} to {high}"
    given = {name for name in (*_IMAGES, *_PROBES) if row[name] is not None}
    if given not in (set(_IMAGES), set(_PROBES)):
        return (
            f"a {shorten(row['metric'])} row must hold either all of {', '.join(_IMAGES)} or all of "
            f"{', '.join(_PROBES)}, and null for the others"
        )
    return None


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):  # Python calls True a whole number
        return kind is bool
    if kind is float:
        # isfinite raises for a whole number that is too large for a float
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, kind)


def identity(row: Row) -> dict[str, Any]:
    """Return what was measured and how: every field but arm, seed, value, its errors and the checkpoint."""
    return {name: row[name] for name in IDENTITY_FIELDS}


def require_comparable(a: Row, b: Row) -> None:
    """Raise PipelineError, naming each differing field and both values, unless the rows have one identity."""
    differing = [f"{name} ({a[name]!r} and {b[name]!r})" for name in IDENTITY_FIELDS if a[name] != b[name]]
    if differing:
        raise PipelineError(
            f"{a['metric']} of {a['arm']} seed {a['seed']} and of {b['arm']} seed {b['seed']} must not be "
            f"compared, they differ in {', '.join(differing)}; compute both with the same settings"
        )


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Checked rows of a file: JSON lines (.jsonl), a JSON list, or a JSON object with a list under `rows`."""
    if Path(path).suffix == ".jsonl":
        rows = read_json_lines(path)
    else:
        content = read_json(path)
        rows = content.get("rows") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PipelineError(f"{path} holds no list of metric rows; delete it and run again")
    for number, row in enumerate(rows, start=1):
        check_row(row, f"{path}, row {number}")
    return rows


def merge_rows(rows: Iterable[Row]) -> list[Row]:
    """Checked rows, sorted by their content only; PipelineError for a measurement that is given twice."""
    by_key: dict[tuple, Row] = {}
    for row in rows:
        key = _sort_key(row)
        if key in by_key:
            raise PipelineError(
                f"{row['metric']} of {row['arm']} seed {row['seed']} step {row['step']} is given twice with "
                f"one identity (values {by_key[key]['value']} and {row['value']}); collect each file once"
            )
        by_key[key] = row
    return [by_key[key] for key in sorted(by_key)]


def _sort_key(row: Row) -> tuple:
    # NFE and step sort as numbers, for the reader; the canonical identity settles the rest.
    names = ("study", "preset", "arm", "seed", "step", "metric")
    of_kind = (row["sampler"] or "", row["nfe"] or 0, row["objective"] or "")
    return (*(row[name] for name in names), *of_kind, canonical_json(identity(row)))
