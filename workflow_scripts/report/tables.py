"""Tables of summary and report: `{"columns": [...], "rows": [[...]]}` of Markdown text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import (
    OUTCOME_WORDS,
    arms_text,
    estimand_label,
    estimate_text,
    interval_text,
    number,
)
from workflow_scripts.report.sourced_numbers import plain, source_numbers
from workflow_scripts.study.config import SECTIONS, flatten
from workflow_scripts.study.estimands import SD, estimate
from workflow_scripts.study.reasons import claim, metric_name

Table = dict[str, list[Any]]
# A column: its title, the rows of all arms, and what makes a cell of one arm's rows.
ArmColumn = tuple[str, pd.DataFrame, Callable[[pd.DataFrame], str]]
NONE = "–"
SETTING_SECTIONS = tuple(section for section in SECTIONS if section not in ("points", "by_step"))


class Cell(str):
    """Markdown text of a table's cell that knows which number it shows and where that came from.

    `value` is the unrounded number or None, `rows` are places in results.jsonl, `hypothesis` is the id of the
    hypothesis whose verdict holds the number, and `of` lists other origins as `page_data.Lineage.key` knows
    them: `lock`, `reference`, `setting/<name>` and more.
    """

    value: float | None
    rows: tuple[int, ...]
    hypothesis: str | None
    of: tuple[str, ...]

    def __new__(
        cls,
        text: str,
        value: float | None = None,
        rows: Sequence[int] = (),
        hypothesis: str | None = None,
        of: Sequence[str] = (),
    ) -> Cell:
        cell = super().__new__(cls, text)
        cell.value, cell.rows = value, tuple(int(row) for row in rows)
        cell.hypothesis, cell.of = hypothesis, tuple(of)
        return cell


def markdown(value: Any) -> str:
    """Escape text from configuration or data: nothing in it formats, links, or breaks a table row."""
    text = " ".join(str(value).split())
    # `$`, `@` and addresses too: viewers such as nbconvert's make formulas and links of them
    return re.sub(r"([\\`*\[\]<>|~$@]|(?<!\w)_|_(?!\w)|(?<=:)/(?=/)|(?<=\bwww)\.)", r"\\\1", text)


def as_markdown(table: Table) -> str:
    """A table in Markdown, without the marks of origin in its cells."""
    lines = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
    return "\n".join(f"| {' | '.join(map(plain, line))} |" for line in lines)


def setting_value(value: Any) -> str:
    """A setting for readers: a dash for None, `none` for an empty list, plain numbers, lists with commas."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(setting_value(item) for item in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {setting_value(item)}" for key, item in value.items() if item is not None)
    return str(value)


def setting_cell(value: Any, origin: str = "lock") -> Cell:
    """A setting's value; by default its origin is the lock."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(markdown(setting_value(value)), float(value) if is_number else None, of=[origin])


def rate_text(rate: float) -> str:
    """A share: 4.8 %."""
    return f"{100 * rate:.1f} %"


def arm_names(report: Mapping[str, Any]) -> dict[str, str]:
    """Arm name to label, as escaped Markdown."""
    return {arm["name"]: markdown(arm["label"]) for arm in report["arms"]}


def summary_tables(context: ReportContext, gate: Mapping[str, Any]) -> dict[str, Table]:
    """The tables that summary.md and the page share, by name."""
    report, verdict = context.report, context.verdict
    return {
        "hypotheses": hypothesis_table(report, verdict),
        "arms": configuration_table(report),
        "main_result": main_result_table(context),
        "by_nfe": sweep_table(context),
        "further_metrics": further_metrics_table(context),
        "finite_sample": finite_sample_table(context),
        "error_rates": error_rate_table(verdict),
        "matched": matched_compute_table(report, gate),
    }


def shared_settings(report: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that all arms share, by dotted key."""
    return flatten({section: report[section] for section in SETTING_SECTIONS})


def varied_settings(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Per arm, the settings in which the arms differ, by dotted key."""
    shared = shared_settings(report)
    flat = {}
    for arm in report["arms"]:
        # without training the other sections mean nothing
        shown = SETTING_SECTIONS if arm["trained"] else ("method",)
        flat[arm["name"]] = flatten({section: arm[section] for section in shown if section in arm})
    return {arm: {key: own[key] for key in own if key not in shared} for arm, own in flat.items()}


def shared_settings_table(report: Mapping[str, Any]) -> Table:
    """All settings that the arms share."""
    rows = [
        [f"`{name}`", setting_cell(value, f"setting/{name}")]
        for name, value in shared_settings(report).items()
    ]
    return {"columns": ["Setting", "Value"], "rows": rows}


def configuration_table(report: Mapping[str, Any]) -> Table:
    """One row per arm; columns are the settings in which the arms differ."""
    own = varied_settings(report)
    varied = dict.fromkeys(key for settings in own.values() for key in settings)
    rows = []
    for arm in report["arms"]:
        names = [markdown(arm[key]) for key in ("name", "label", "experiment")]
        values = [setting_cell(own[arm["name"]].get(key), f"setting/{arm['name']}/{key}") for key in varied]
        rows.append([*names, "yes" if arm["baseline"] else "no", *values])
    columns = ["Arm", "Label", "Experiment", "Baseline", *(f"`{key}`" for key in varied)]
    return {"columns": columns, "rows": rows}


def hypothesis_table(report: Mapping[str, Any], verdict: Mapping[str, Any]) -> Table:
    """One row per hypothesis, with threshold, estimate, interval and outcome."""
    names = arm_names(report)
    rows = []
    for item in verdict["hypotheses"]:
        level = f"{100 * item['confidence']:.4g} %: " if item["interval"] else ""
        low = item["interval"][0] if item["interval"] else None
        rows.append(
            [
                markdown(item["id"]),
                item["role"],
                arms_text(item, lambda arm: names.get(arm, markdown(arm))),
                source_numbers(markdown(estimand_label(item["metric_used"])), f"hypothesis/{item['id']}"),
                Cell(claim(item), item.get("threshold", item.get("margin")), of=["lock"]),
                _decided(item, estimate_text(item), estimate(item)),
                _decided(item, level + interval_text(item), low),
                _decided(item, f"**{OUTCOME_WORDS[item['outcome']]}**"),
            ]
        )
    columns = "Hypothesis, Role, Arm / comparator, Metric, Claim, Estimate, Interval, Outcome"
    return {"columns": columns.split(", "), "rows": rows}


def _decided(item: Mapping[str, Any], text: str, value: float | None = None) -> Cell:
    return Cell(text, value, hypothesis=item["id"])


def by_arm(context: ReportContext, columns: Sequence[ArmColumn]) -> Table:
    """One row per arm; an arm without rows gets a dash."""
    lines = []
    for arm, name in arm_names(context.report).items():
        mine = [(frame[frame["arm"] == arm], cell) for _, frame, cell in columns]
        lines.append([name, *(cell(frame) if len(frame) else NONE for frame, cell in mine)])
    return {"columns": ["Arm", *(title for title, _, _ in columns)], "rows": lines}


def _mean(frame: pd.DataFrame, digits: int = 4) -> str:
    """The mean of `value` over seeds; rows without one are left out."""
    frame = frame[frame["value"].notna()]
    if frame.empty:
        return NONE
    mean = float(frame["value"].astype(float).mean())
    return Cell(number(mean, digits), mean, frame.get("row", ()), of=frame.get("of", ()))


def mean_error(frame: pd.DataFrame) -> str:
    return _mean(frame, 2)


def mean_sd(frame: pd.DataFrame) -> str:
    """`mean ± sd` over seeds; no deviation for one value."""
    cell = _mean(frame)
    if len(frame) < 2:
        return cell
    return Cell(f"{cell} ± {number(frame['value'].std(), 2)}", cell.value, cell.rows)


def main_result_table(context: ReportContext) -> Table:
    """The main metric: every seed, then mean and standard deviation."""
    rows = context.main_rows()
    planned = sorted({seed for arm in context.arms for seed in context.seeds(arm)})
    seeds = [(f"seed {seed}", rows[rows["seed"] == seed], _mean) for seed in planned]
    return by_arm(context, [*seeds, ("mean ± sd", rows, mean_sd)])


def sweep_table(context: ReportContext) -> Table:
    """The main metric of every arm at every point: mean ± sd over seeds."""
    columns = []
    for name, point in context.points.items():
        eta = "" if point["eta"] is None else f" (η={point['eta']:g})"
        rows = context.final_rows(context.report["metric"], point=name)
        columns.append((f"{point['sampler']}{eta} {point['nfe']}", rows, mean_sd))
    return by_arm(context, columns)


def further_metrics_table(context: ReportContext) -> Table:
    """Every other metric of samples at the main point: mean ± sd over seeds; arrows show what is better.

    Beside it the mean error of a single run: half of its 95 % interval where it has one, else its spread.
    """
    columns: list[ArmColumn] = []
    for metric in context.further_metrics:
        rows = context.main_rows(metric)
        told = context.told_of(metric)
        better = {"lower": " ↓", "higher": " ↑"}.get(told["better"], f" → {told['better']}")
        unit = f" ({told['unit']})" if "unit" in told else ""
        columns.append((markdown(f"{metric_name(metric)}{unit}{better}"), rows, mean_sd))
        half = (rows["interval_high"].astype(float) - rows["interval_low"].astype(float)) / 2
        if half.notna().any():
            columns.append(("95 % interval of one run, ±", rows.assign(value=half), mean_error))
        elif rows["stderr"].notna().any():
            columns.append(("spread within one run", rows.assign(value=rows["stderr"]), mean_error))
    return by_arm(context, columns)


def finite_sample_table(context: ReportContext) -> Table:
    """The main distance from parts of the samples and from all, and its bootstrap error: means over seeds."""
    of = [f"finite_sample/{item['arm']}/{item['seed']}" for item in context.finite_samples]
    runs = pd.DataFrame(context.finite_samples, columns=["arm", "stderr"]).assign(of=of)
    points = pd.DataFrame(
        [
            {"arm": item["arm"], "of": origin, **point}
            for item, origin in zip(context.finite_samples, of)
            for point in item["by_num_samples"]
        ],
        columns=["arm", "of", "num_samples", "value"],
    )
    columns = [(f"{count:,} samples", rows, _mean) for count, rows in points.groupby("num_samples")]
    errors = runs.rename(columns={"stderr": "value"})
    return by_arm(context, [*columns, ("bootstrap std. error", errors, mean_error)])


def error_rate_table(verdict: Mapping[str, Any]) -> Table:
    """Simulated error rates of the rule, per hypothesis and number of seeds."""
    rows, simulated = [], [item for item in verdict["hypotheses"] if item["error_rates"]]
    shares = sorted(
        {key for item in simulated for key in item["error_rates"]["by_num_seeds"][0]} - {"num_seeds"}
    )
    for item in simulated:
        sd = item["error_rates"][SD[item["estimand"]]]
        for point in item["error_rates"]["by_num_seeds"]:
            cells = ((point[key], rate_text(point[key])) if key in point else (None, NONE) for key in shares)
            rows.append(
                [
                    markdown(item["id"]),
                    _decided(item, number(sd, 2), sd),
                    _decided(item, str(point["num_seeds"]), point["num_seeds"]),
                    *(_decided(item, text, value) for value, text in cells),
                ]
            )
    titles = [key.replace("_", " ").replace("twice", "twice the") for key in shares]
    columns = ["Hypothesis", "sd between seeds", "seeds", *titles]
    return {"columns": columns, "rows": rows or [[NONE] * len(columns)]}


def scale_mark_table(context: ReportContext) -> Table:
    """Distances between known sets of images on the same features."""
    rows = [
        [
            source_numbers(markdown(mark["label"]), "reference"),
            Cell(number(mark["value"]), mark["value"], of=["reference"]),
            Cell(f"{mark['num_samples']:,}", mark["num_samples"], of=["reference"]),
        ]
        for mark in context.scale_marks
    ]
    columns = ["Known distance", markdown(metric_name(context.report["metric"])), "Images"]
    return {"columns": columns, "rows": rows}


def substitution_table(verdict: Mapping[str, Any]) -> Table:
    """Per hypothesis, what was measured in place of what was preregistered, and what is missing."""
    rows = []
    for item in verdict["hypotheses"]:
        name = markdown(item["id"])
        if item["outcome"] == "not_run":
            rows.append([name, "arm", Cell("run", of=["lock"]), _decided(item, "not run in this preset")])
            continue
        for change in item["substitutions"]:
            values = (setting_cell(change[key]) for key in ("preregistered", "used"))
            rows.append([name, markdown(change["field"]), *values])
        if item["missing_seeds"]:
            paired, missing = len(item["seeds"]), item["missing_seeds"]
            planned = paired + len(missing)
            here = _decided(item, f"{paired}; missing {', '.join(map(str, missing))}")
            rows.append([name, "seeds", Cell(str(planned), planned, of=["setting/seeds"]), here])
    return {"columns": ["Hypothesis", "What", "Preregistered", "Here"], "rows": rows}


def matched_compute_table(report: Mapping[str, Any], gate: Mapping[str, Any]) -> Table:
    """Every setting in which two compared arms differ."""
    names = arm_names(report)
    rows = []
    for comparison in gate["comparisons"]:
        arm, comparator = (comparison[side] for side in ("arm", "comparator"))
        for item in comparison["differences"]:
            key = item["key"]
            rows.append(
                [
                    markdown(comparison["experiment"]),
                    names.get(arm, markdown(arm)),
                    names.get(comparator, markdown(comparator)),
                    f"`{markdown(key)}`",
                    setting_cell(item["arm_value"], f"setting/{arm}/{key}"),
                    setting_cell(item["comparator_value"], f"setting/{comparator}/{key}"),
                ]
            )
    columns = ["Experiment", "Arm", "Comparator", "Setting", "Arm's value", "Comparator's value"]
    return {"columns": columns, "rows": rows or [[NONE] * len(columns)]}
