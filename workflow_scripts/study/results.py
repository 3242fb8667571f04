"""Metric rows: the one format of every measurement, checked, merged, and never compared when unlike.

A row is `{study, preset, arm, seed, metric, value, stderr, interval, on, from}`. `on` says what the value is
judged against (extractor, reference, sample count; objective, probe set), `from` what it was measured on (the
training step, the weights, the point at which images were generated). stderr and interval may be null.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError, shorten
from workflow_scripts.core.files import canonical_json, read_json, read_json_lines

Row = Mapping[str, Any]

_TYPES = {
    "study": str,
    "preset": str,
    "arm": str,
    "seed": int,
    "metric": str,
    "value": float,
    "stderr": float,
}
_PARTS = {"interval": list, "on": dict, "from": dict}
_TYPE_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a finite number",
    list: "two finite numbers",
    dict: "keys and plain values",
}
# The metric whose value is the step at which a run diverged, 0 if the network that it shares did; a run that
# did not has no such row.
DIVERGED = "diverged"
# The pilot of a preset is called like the preset, with this at the end; so are its folders.
PILOT = "_pilot"
# Of one update of all its networks, and of a whole training (steps/count_flops.py).
FLOP_COUNTS = ("flops_per_step", "training_flops")
# Two rows that are compared may differ in these; everything else is the row's identity.
NOT_IDENTITY = ("arm", "seed", "value", "stderr", "interval_low", "interval_high", "checkpoint_sha256")


def check_row(row: Row, where: str | Path) -> None:
    """Raise PipelineError, naming `where` and the field, unless `row` is a complete and finite metric row."""
    if mistake := _mistake(row):
        raise PipelineError(f"{where}: {mistake}; delete the file and run again")


def _mistake(row: Row) -> str | None:
    kinds = {**_TYPES, **_PARTS}
    if missing := sorted(kinds.keys() - row.keys()):
        return f"a metric row lacks {', '.join(missing)}"
    if unknown := sorted(row.keys() - kinds.keys()):
        return f"a metric row has unknown {shorten(', '.join(unknown))}"
    for name, kind in kinds.items():
        if not (_is(row[name], kind) or (row[name] is None and name in ("stderr", "interval"))):
            return f"{name} of a metric row is {shorten(repr(row[name]))}, must be {_TYPE_NAMES[kind]}"
    if row["interval"] is not None and not row["interval"][0] <= row["interval"][1]:
        return f"a metric row has an interval from {row['interval'][0]} to {row['interval'][1]}"
    if not _is(row["from"].get("step"), int):
        return "from of a metric row lacks step, a whole number"
    if twice := sorted(
        (row["on"].keys() & row["from"].keys()) | ((row["on"] | row["from"]).keys() & kinds.keys())
    ):
        return f"a metric row gives {shorten(', '.join(twice))} twice"
    return None


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):  # Python calls True a whole number
        return False
    if kind is float:
        # isfinite raises for a whole number that is too large for a float
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    if kind is list:
        return isinstance(value, list) and len(value) == 2 and all(_is(end, float) for end in value)
    if kind is dict:
        plain = isinstance(value, dict) and all(isinstance(key, str) for key in value)
        return plain and all(isinstance(v, str | bool) or _is(v, float) for v in value.values())
    return isinstance(value, kind)


def flat(row: Row) -> dict[str, Any]:
    """The row with the entries of `on` and `from`, and `interval_low` and `interval_high`, as its own."""
    low, high = row["interval"] or (None, None)
    own = {name: row[name] for name in _TYPES}
    return {**own, "interval_low": low, "interval_high": high, **row["on"], **row["from"]}


def identity(row: Row) -> dict[str, Any]:
    """What was measured and how: all but arm, seed, value, its errors and the checkpoint, as `flat`."""
    return {name: value for name, value in flat(row).items() if name not in NOT_IDENTITY}


def require_comparable(a: Row, b: Row, may_differ: Collection[str] = ()) -> None:
    """Raise PipelineError, naming each differing field and both values, unless the rows have one identity.

    `may_differ` are the fields of `from` for which a hypothesis names a value for each side.
    """
    left, right = identity(a), identity(b)
    differing = [
        f"{name} ({left.get(name)!r} and {right.get(name)!r})"
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name) and name not in may_differ
    ]
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
                f"{row['metric']} of {row['arm']} seed {row['seed']} step {row['from']['step']} is given "
                f"twice with one identity (values {by_key[key]['value']} and {row['value']}); "
                "collect each file once"
            )
        by_key[key] = row
    return [by_key[key] for key in sorted(by_key)]


def _sort_key(row: Row) -> tuple:
    # Numbers sort as numbers, for the reader; the canonical identity settles the rest.
    names = ("study", "preset", "arm", "seed")
    return (
        *(row[name] for name in names),
        row["from"]["step"],
        row["metric"],
        str(row["from"].get("point", "")),
        canonical_json(identity(row)),
    )
