"""Metric rows: the one format of every measurement, checked, merged and guarded against unlike comparisons."""

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

# What may differ between two rows that are compared; everything else is the row's identity.
_NOT_IDENTITY = ("arm", "seed", "value", "stderr", "interval_low", "interval_high", "checkpoint_sha256")
FIELDS = tuple(_TYPES)
IDENTITY_FIELDS = tuple(name for name in FIELDS if name not in _NOT_IDENTITY)


def check_row(row: Row, where: str | Path) -> None:
    """Raise PipelineError, naming `where` and the field, unless `row` is a complete and finite metric row."""
    unknown, missing = sorted(set(row) - set(_TYPES)), sorted(set(_TYPES) - set(row))
    if unknown or missing:
        faults = (("lacks", missing), ("has unknown", unknown))
        parts = [f"{fault} {shorten(', '.join(names))}" for fault, names in faults if names]
        raise PipelineError(f"{where}: a metric row {' and '.join(parts)}; delete the file and run again")
    for name, kind in _TYPES.items():
        value = row[name]
        if value is None and name not in _REQUIRED:
            continue
        if not _is(value, kind):
            raise PipelineError(
                f"{where}: {name} of a metric row is {shorten(repr(value))}, must be {_TYPE_NAMES[kind]}; "
                "delete the file and run again"
            )
    low, high = row["interval_low"], row["interval_high"]
    if (low is None) != (high is None) or (low is not None and not low <= high):
        raise PipelineError(
            f"{where}: a metric row has an interval from {low} to {high}; delete the file and run again"
        )
    given = {name for name in (*_IMAGES, *_PROBES) if row[name] is not None}
    if given not in (set(_IMAGES), set(_PROBES)):
        raise PipelineError(
            f"{where}: a {shorten(row['metric'])} row must hold either all of {', '.join(_IMAGES)} or all of "
            f"{', '.join(_PROBES)}, and null for the others; delete the file and run again"
        )


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):  # Python calls True a whole number
        return kind is bool
    if kind is float:
        # a whole number may be too large for a float, and isfinite then raises
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, kind)


def identity(row: Row) -> dict[str, Any]:
    """What was measured and how: every field except arm, seed, value, its errors and checkpoint_sha256."""
    return {name: row[name] for name in IDENTITY_FIELDS}


def require_comparable(a: Row, b: Row) -> None:
    """Raise PipelineError, listing each differing field with both values, unless the rows have one identity."""
    first, second = identity(a), identity(b)
    names = [name for name in IDENTITY_FIELDS if first[name] != second[name]]
    if names:
        differing = [f"{name} ({first[name]!r} and {second[name]!r})" for name in names]
        raise PipelineError(
            f"{a['metric']} of {a['arm']} seed {a['seed']} and of {b['arm']} seed {b['seed']} must not be compared, "
            f"they differ in {', '.join(differing)}; compute both with the same settings"
        )


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Checked rows of one file: JSON lines (.jsonl), a JSON list, or a JSON object with a list under `rows`."""
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
    """Checked rows in one order that depends on their content only; a measurement given twice is a PipelineError."""
    by_key: dict[tuple, Row] = {}
    for row in rows:
        key = _sort_key(row)
        if key in by_key:
            raise PipelineError(
                f"{row['metric']} of {row['arm']} seed {row['seed']} step {row['step']} is given twice with one "
                f"identity (values {by_key[key]['value']} and {row['value']}); collect each file once"
            )
        by_key[key] = row
    return [by_key[key] for key in sorted(by_key)]


def _sort_key(row: Row) -> tuple:
    # NFE and step sort as numbers, for the reader; the canonical identity settles what is left.
    return (
        row["study"],
        row["preset"],
        row["arm"],
        row["seed"],
        row["step"],
        row["metric"],
        row["sampler"] or "",
        row["nfe"] or 0,
        row["objective"] or "",
        canonical_json(identity(row)),
    )
