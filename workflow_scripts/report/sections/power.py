"""What it would take to decide each hypothesis: of every report, after the study's own sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.costs import duration_text
from workflow_scripts.report.labels import number
from workflow_scripts.report.sections import Section
from workflow_scripts.report.sourced_numbers import source_numbers
from workflow_scripts.report.summary_words import Setting
from workflow_scripts.report.tables import NONE, Cell, Table, markdown, rate_text
from workflow_scripts.study.estimands import RATIO, shown

METRICS = ()
PARTS = {
    "spread": "Spread between seeds",
    "from_samples": "due to samples",
    "from_training": "due to training",
}


def power(context: ReportContext, setting: Setting) -> Section:
    """Two tables: the spread and its parts; the power of what was run and is planned, and what suffices."""
    if (found := context.power) is None:
        return Section("Power", "Power was not estimated.", [])
    level, share = f"{100 * found['confidence']:g} %", f"{100 * found['target']:g} %"
    words = source_numbers(
        f"How far a hypothesis' estimate differs between seeds (of a ratio, its logarithm), with {level} "
        "intervals, decides how many it takes. One part comes from the finite number of samples: the same "
        "sample numbers of both arms were redrawn. It shrinks with more samples; the rest, due to training, "
        "only averages out over seeds. Power is the chance, in simulations of the rule, of better at a "
        "change of twice the threshold, or of held without a difference or in the middle of a bound; "
        f"{share} is the aim. The spread is itself an estimate: where a plan must not fail, take its upper "
        "end.",
        "power",
    )
    by_id = {item["id"]: item for item in context.verdict["hypotheses"]}
    planned = options(found, by_id, (context.costs or {}).get("seconds_per_seed", {}))
    parts = [
        ("power_parts", "Spread of each hypothesis' estimate, and where it comes from", parts_table(found)),
        ("power_options", "Seeds and samples, and the power that they give", planned),
    ]
    return Section("Power", words, parts)


def _cell(text: str, value: float | None = None) -> Cell:
    return Cell(text, value, of=["power"])


def parts_table(found: Mapping[str, Any]) -> Table:
    """A row per hypothesis: its spread and the two parts, each with an interval."""
    rows = [
        [
            markdown(entry["id"]),
            _cell(str(entry["num_seeds"]), entry["num_seeds"]),
            *(NONE if entry[name] is None else _part(entry[name]) for name in PARTS),
        ]
        for entry in found["hypotheses"]
        if entry["spread"]
    ]
    columns = ["Hypothesis", "seeds", *PARTS.values()]
    return {"columns": columns, "rows": rows or [[NONE] * len(columns)]}


def _part(part: Mapping[str, Any]) -> Cell:
    low, high = (number(end, 2) for end in part["interval"])
    return _cell(f"{number(part['sd'], 2)} ({low} to {high})", part["sd"])


def options(
    found: Mapping[str, Any], hypotheses: Mapping[str, Mapping[str, Any]], seconds: Mapping[str, Any]
) -> Table:
    """A row for what was run, what is preregistered, and the seeds that suffice with each number of samples.

    `seconds` are costs.seconds_per_seed; empty: without the column of times.
    """
    rows = []
    for entry in found["hypotheses"]:
        kinds = [("as run here", entry["here"]), ("as preregistered", entry["preregistered"])]
        kinds += [
            (source_numbers(f"for {100 * found['target']:g} %", "power"), option)
            for option in entry["options"]
        ]
        item = hypotheses[entry["id"]]
        for kind, option in kinds if entry["here"] else ():
            times = [_time(entry, option, item, seconds)] if seconds else []
            rows.append([markdown(entry["id"]), kind, *_option(found, option, item), *times])
    columns = ["Hypothesis", "plan", "samples", "seeds", "power", "half-width", *["time"] * bool(seconds)]
    return {"columns": columns, "rows": rows or [[NONE] * len(columns)]}


def _option(found: Mapping[str, Any], option: Mapping[str, Any], item: Mapping[str, Any]) -> list[str]:
    samples, seeds, half = option["num_samples"], option["num_seeds"], option["half_width"]
    # of a ratio the upper half, which is the wider one
    wide = 0.0 if half is None else shown(item, half)
    text = f"± {100 * wide:.3g} %" if item["estimand"] == RATIO else f"± {number(wide, 2)}"
    return [
        NONE if samples is None else _cell(f"{samples:,}", samples),
        _cell(f"more than {found['max_seeds']}") if seeds is None else _cell(str(seeds), seeds),
        NONE if option["power"] is None else _cell(rate_text(option["power"]), option["power"]),
        NONE if half is None else _cell(text, wide),
    ]


def _time(
    entry: Mapping[str, Any],
    option: Mapping[str, Any],
    item: Mapping[str, Any],
    seconds: Mapping[str, Mapping[str, float]],
) -> str:
    """The time of all seeds of both arms; that of the steps at the hypothesis' points grows with samples."""
    if option["num_seeds"] is None:
        return NONE
    used, total = item["metric_used"], 0.0
    factor = option["num_samples"] / entry["num_samples"] if entry["num_samples"] else 1.0
    sides = [(entry["arm"], used["point"]), (entry["comparator"], used["comparator_point"])]
    for arm, point in sides[: 1 if entry["comparator"] is None else 2]:
        for where, wall_s in seconds.get(arm, {}).items():
            total += wall_s * (factor if where == point else 1.0)
    total *= option["num_seeds"]
    return Cell(duration_text(total), total, of=["costs"])
