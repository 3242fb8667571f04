"""Two sets of results side by side: hypotheses, and every metric with intervals where rows may be compared at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from workflow_scripts.report.labels import (
    OUTCOME_WORDS,
    change_text,
    estimand_label,
    interval_text,
    number,
    sampler_label,
    threshold_text,
)
from workflow_scripts.report.statistics import geometric_interval, t_interval
from workflow_scripts.report.tables import NONE, Table
from workflow_scripts.study.reasons import metric_name
from workflow_scripts.study.results import IDENTITY_FIELDS, Row

# What makes two rows the same measurement of one arm, whatever else they say about themselves.
POINT = ("metric", "sampler", "eta", "nfe", "objective", "ema")
IDENTICAL = "identical"


def metric_table(a: Sequence[Row], b: Sequence[Row]) -> Table:
    """One row per arm and measurement at each side's last training step; plain text.

    A and B are means over seeds with 95 % t intervals (of the logarithm where every value is positive). The change is B
    against A, paired by seed, and stands only where the rows' identities are equal; else the note says what differs.
    """
    left, right = _by_point(a), _by_point(b)
    rows = []
    for arm, *point in sorted(left.keys() | right.keys(), key=_order):
        here, there = left.get((arm, *point), []), right.get((arm, *point), [])
        change, note = _change(here, there)
        rows.append(
            [
                arm,
                metric_name(point[0]),
                _where(dict(zip(POINT, point))),
                _mean(here),
                _mean(there),
                change,
                note,
            ]
        )
    columns = [
        "Arm",
        "Metric",
        "Where",
        "A (95 % interval)",
        "B (95 % interval)",
        "B against A (95 % interval)",
        "Note",
    ]
    return {"columns": columns, "rows": rows}


def differing_identity(a: Sequence[Row], b: Sequence[Row]) -> list[str]:
    """`field (value of A, value of B)` for every identity field in which the rows differ; empty when they may be compared."""
    found = []
    for name in IDENTITY_FIELDS:
        values = [sorted({str(row[name]) for row in rows}) for rows in (a, b)]
        if values[0] != values[1]:
            found.append(
                f"{name} ({', '.join(map(_short, values[0]))} | {', '.join(map(_short, values[1]))})"
            )
    return found


def hypothesis_table(a: Mapping[str, Any], b: Mapping[str, Any]) -> Table:
    """Every hypothesis of two verdicts with estimate, interval and outcome; plain text."""
    left, right = ({item["id"]: item for item in verdict["hypotheses"]} for verdict in (a, b))
    rows = []
    for name in [*left, *(name for name in right if name not in left)]:
        here, there = left.get(name), right.get(name)
        known = here or there
        rows.append(
            [
                name,
                known["role"],
                f"{known['arm']} / {known['comparator']}",
                _estimate(here),
                _estimate(there),
                _hypothesis_note(here, there),
            ]
        )
    return {"columns": ["Hypothesis", "Role", "Arm / comparator", "A", "B", "Note"], "rows": rows}


def _estimate(item: Mapping[str, Any] | None) -> str:
    if item is None:
        return "no such hypothesis"
    words = OUTCOME_WORDS[item["outcome"]]
    if item["interval"] is None:
        return words
    return f"{words}: {change_text(item['relative_change'])} ({100 * item['confidence']:.4g} %: {interval_text(item['interval'])})"


def _hypothesis_note(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> str:
    if a is None or b is None or a["outcome"] == b["outcome"] == "not_run":
        return ""
    notes = []
    if a["metric_used"] != b["metric_used"]:
        notes.append(
            f"not the same measurement: {estimand_label(a['metric_used'])} | {estimand_label(b['metric_used'])}"
        )
    if (a["threshold"], a["direction"]) != (b["threshold"], b["direction"]):
        notes.append(
            f"another claim: {' | '.join(threshold_text(x['threshold']) + ' ' + x['direction'] for x in (a, b))}"
        )
    if (a["arm"], a["comparator"]) != (b["arm"], b["comparator"]):
        notes.append(f"other arms: {a['arm']} / {a['comparator']} | {b['arm']} / {b['comparator']}")
    if not notes and a["seeds"] == b["seeds"] and a["seeds"]:
        notes.append(IDENTICAL)
    return "; ".join(notes)


def _by_point(rows: Sequence[Row]) -> dict[tuple, list[Row]]:
    last = max((row["step"] for row in rows), default=0)
    found: dict[tuple, list[Row]] = {}
    for row in rows:
        if row["step"] == last:
            found.setdefault((row["arm"], *(row[name] for name in POINT)), []).append(row)
    return found


def _order(key: tuple) -> tuple:
    arm, metric, sampler, eta, nfe, objective, ema = key
    return (arm, metric, sampler or "", eta if eta is not None else -1.0, nfe or 0, objective or "", ema)


def _where(point: Mapping[str, Any]) -> str:
    if point["sampler"]:
        where = f"{sampler_label(point['sampler'], point['eta'])}, NFE {point['nfe']}"
    else:
        where = f"{point['objective']} objective"
    return where if point["ema"] else f"{where}, without EMA"


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    return (geometric_interval if min(values) > 0 else t_interval)(values)


def _mean(rows: Sequence[Row]) -> str:
    if not rows:
        return NONE
    mean, low, high = _interval([row["value"] for row in rows])
    return (
        number(mean)
        if math.isnan(low)
        else f"{number(mean)} ({number(low)} to {number(high)}, {len(rows)} seeds)"
    )


def _change(a: Sequence[Row], b: Sequence[Row]) -> tuple[str, str]:
    if not a or not b:
        return NONE, f"only in {'A' if a else 'B'}"
    differing = differing_identity(a, b)
    if differing:
        return NONE, f"not comparable: {'; '.join(differing)}"
    left, right = ({row["seed"]: row["value"] for row in rows} for rows in (a, b))
    seeds = sorted(left.keys() & right.keys())
    if not seeds:
        return NONE, "no seed in common"
    alone = sorted(left.keys() ^ right.keys())
    note = f"without seed {', '.join(map(str, alone))}" if alone else ""
    if all(left[seed] == right[seed] for seed in seeds):
        return "0 %", "; ".join(filter(None, [IDENTICAL, note]))
    if min(*left.values(), *right.values()) > 0:
        change, low, high = (
            value - 1 for value in geometric_interval([right[seed] / left[seed] for seed in seeds])
        )
        text, interval = change_text(change), interval_text([low, high]) if len(seeds) > 1 else ""
    else:
        change, low, high = t_interval([right[seed] - left[seed] for seed in seeds])
        text, interval = (
            f"difference {number(change, 3)}",
            f"{number(low, 3)} to {number(high, 3)}" if len(seeds) > 1 else "",
        )
    if not interval:
        return text, "; ".join(filter(None, ["one seed, no interval", note]))
    zero = "the interval holds zero" if low <= 0 <= high else "the interval leaves out zero"
    return f"{text} ({interval})", "; ".join(filter(None, [zero, note]))


def _short(value: str) -> str:
    return value[:12] + "…" if len(value) == 64 else value
