"""Tables of summary and report, `{"columns": [...], "rows": [[...]]}` of Markdown text, looked up from results and verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import (
    OUTCOME_WORDS,
    change_text,
    estimand_label,
    interval_text,
    number,
    threshold_text,
)
from workflow_scripts.report.sourced_numbers import plain, source_numbers
from workflow_scripts.report.statistics import mean_and_sd
from workflow_scripts.study.reasons import metric_name

Table = dict[str, list[Any]]
NONE = "–"


class Cell(str):
    """Markdown text of a table's cell that knows which number it shows and where that came from.

    `value` is the number unrounded (None where there is none), `rows` are places in results.jsonl, `hypothesis` is the
    id of the one that the verdict decides, `of` holds its origins where it is no result, as `page_data.Lineage.key`
    lists them: `lock`, `reference`, `setting/<name>` and more.
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
    """Text from configuration or data as literal Markdown: nothing in it formats, links, or breaks a table row."""
    text = " ".join(str(value).split())
    # `$`, `@` and addresses: viewers, nbconvert among them, make formulas and links of them
    return re.sub(r"([\\`*\[\]<>|~$@]|(?<!\w)_|_(?!\w)|(?<=:)/(?=/)|(?<=\bwww)\.)", r"\\\1", text)


def as_markdown(table: Table) -> str:
    """A table in Markdown; its cells are Markdown already, of which marks of origin are dropped."""
    lines = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
    return "\n".join(f"| {' | '.join(map(plain, line))} |" for line in lines)


def setting_value(value: Any) -> str:
    """A setting as people read it: a dash for none, plain numbers, lists with commas."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(setting_value(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {setting_value(item)}" for key, item in value.items() if item is not None)
    return str(value)


def arm_names(report: Mapping[str, Any]) -> dict[str, str]:
    """Arm name to label, as literal Markdown."""
    return {arm["name"]: markdown(arm["label"]) for arm in report["arms"]}


def configuration_table(report: Mapping[str, Any]) -> Table:
    """One row per arm; columns are the settings of `diffusion` and `loss` in which the arms differ."""
    flat = {
        arm["name"]: {
            f"{part}.{key}": value for part in ("diffusion", "loss") for key, value in arm[part].items()
        }
        for arm in report["arms"]
    }
    keys = list(dict.fromkeys(key for settings in flat.values() for key in settings))
    varied = [key for key in keys if len({str(settings.get(key)) for settings in flat.values()}) > 1]
    rows = [
        [
            markdown(arm["name"]),
            markdown(arm["label"]),
            markdown(arm["experiment"]),
            "yes" if arm["baseline"] else "no",
        ]
        + [setting_cell(flat[arm["name"]].get(key), f"setting/{arm['name']}/{key}") for key in varied]
        for arm in report["arms"]
    ]
    return {
        "columns": ["Arm", "Label", "Experiment", "Baseline", *(f"`{key}`" for key in varied)],
        "rows": rows,
    }


def hypothesis_table(report: Mapping[str, Any], verdict: Mapping[str, Any]) -> Table:
    """One row per hypothesis, with threshold, estimate, interval and outcome."""
    names = arm_names(report)
    rows = []
    for item in verdict["hypotheses"]:
        arm, comparator = (names.get(item[key], markdown(item[key])) for key in ("arm", "comparator"))
        level = f"{100 * item['confidence']:.4g} %: " if item["interval"] else ""
        low = item["interval"][0] if item["interval"] else None
        decided = {"hypothesis": item["id"]}
        rows.append(
            [
                markdown(item["id"]),
                item["role"],
                f"{arm} / {comparator}",
                source_numbers(markdown(estimand_label(item["metric_used"])), f"hypothesis/{item['id']}"),
                Cell(
                    f"{threshold_text(item['threshold'])} {item['direction']}", item["threshold"], of=["lock"]
                ),
                Cell(change_text(item["relative_change"]), item["relative_change"], **decided),
                Cell(level + interval_text(item["interval"]), low, **decided),
                Cell(f"**{OUTCOME_WORDS[item['outcome']]}**", **decided),
            ]
        )
    columns = [
        "Hypothesis",
        "Role",
        "Arm / comparator",
        "Metric",
        "Threshold",
        "Change",
        "Interval",
        "Outcome",
    ]
    return {"columns": columns, "rows": rows}


def main_result_table(context: ReportContext) -> Table:
    """The main metric: every seed, then mean and standard deviation."""
    rows, names = context.main_rows(), arm_names(context.report)
    seeds = context.report["seeds"]
    return {
        "columns": ["Arm", *(f"seed {seed}" for seed in seeds), "mean ± sd"],
        "rows": [[names[arm], *_per_seed(rows[rows["arm"] == arm], seeds)] for arm in context.arms],
    }


def _per_seed(rows: pd.DataFrame, seeds: Sequence[int]) -> list[str]:
    cells = {
        seed: Cell(number(value), value, [row])
        for seed, value, row in zip(rows["seed"], rows["value"], rows["row"])
    }
    return [*(cells.get(seed, NONE) for seed in seeds), mean_sd_cell(rows)]


def mean_sd_cell(rows: pd.DataFrame) -> str:
    """`mean ± sd` over the values of result rows, which it names; a dash for none."""
    return Cell(mean_sd_text(rows["value"]), float(rows["value"].mean()), rows["row"]) if len(rows) else NONE


def mean_cell(values: pd.Series, rows: pd.Series) -> str:
    """The mean of what some result rows say, with two digits; rows that say nothing are left out."""
    said = values.dropna().astype(float)
    return Cell(number(said.mean(), 2), float(said.mean()), rows[said.index]) if len(said) else NONE


def mean_sd_text(values: Sequence[float]) -> str:
    """`mean ± sd` over values; no deviation for one value, a dash for none."""
    if len(values) == 0:
        return NONE
    mean, sd = mean_and_sd(values)
    return number(mean) if sd is None else f"{number(mean)} ± {number(sd, 2)}"


def sweep_table(context: ReportContext) -> Table:
    """The Fréchet distance of every arm at every sampler and number of network calls: mean ± sd over seeds."""
    rows, names = context.final_rows(context.report["metric"]), arm_names(context.report)
    points = [
        (sampler["name"], sampler.get("eta"), nfe)
        for sampler in context.report["samplers"]
        for nfe in sampler["nfe"]
    ]

    def cell(arm: str, sampler: str, eta: float | None, nfe: int) -> str:
        same_eta = rows["eta"].isna() if eta is None else rows["eta"] == eta
        mine = rows[(rows["arm"] == arm) & (rows["sampler"] == sampler) & same_eta & (rows["nfe"] == nfe)]
        return mean_sd_cell(mine)

    columns = [
        f"{sampler} {nfe}" if eta is None else f"{sampler} (η={eta:g}) {nfe}" for sampler, eta, nfe in points
    ]
    lines = [[names[arm], *(cell(arm, *point) for point in points)] for arm in context.arms]
    return {"columns": ["Arm", *columns], "rows": lines}


def further_metrics_table(context: ReportContext) -> Table:
    """Every other metric of samples, main sampler and network calls: mean ± sd over seeds.

    Beside it the mean error of one run by itself: half of its 95 % interval where it has one, else its spread.
    """
    names, columns = arm_names(context.report), ["Arm"]
    rows: dict[str, list[str]] = {arm: [names[arm]] for arm in context.arms}
    for metric in context.further_metrics:
        frame = context.main_rows(metric)
        columns.append(markdown(metric_name(metric)))
        for arm, cells in rows.items():
            cells.append(mean_sd_cell(frame[frame["arm"] == arm]))
        half = frame["interval_high"].astype(float).sub(frame["interval_low"].astype(float)) / 2
        for title, errors in (
            ("one run's 95 % interval, ±", half),
            ("spread within one run", frame["stderr"]),
        ):
            if errors.notna().any():
                columns.append(title)
                for arm, cells in rows.items():
                    mine = frame["arm"] == arm
                    cells.append(mean_cell(errors[mine], frame["row"][mine]))
                break
    return {"columns": columns, "rows": list(rows.values())}


def finite_sample_table(context: ReportContext) -> Table:
    """The main distance from parts of the samples and from all, and its bootstrap error: means over seeds."""
    names = arm_names(context.report)
    counts = sorted(
        {point["num_samples"] for item in context.finite_samples for point in item["by_num_samples"]}
    )
    rows = []
    for arm in context.arms:
        mine = [item for item in context.finite_samples if item["arm"] == arm]
        points = [point for item in mine for point in item["by_num_samples"]]
        values = [[point["value"] for point in points if point["num_samples"] == count] for count in counts]
        of = [f"finite_sample/{arm}/{item['seed']}" for item in mine]
        cells = [_mean_of(column, of) for column in values]
        rows.append([names[arm], *cells, _mean_of([item["stderr"] for item in mine], of, 2)])
    columns = ["Arm", *(f"{count:,} samples" for count in counts), "bootstrap std. error"]
    return {"columns": columns, "rows": rows}


def _mean_of(values: Sequence[float], of: Sequence[str], digits: int = 4) -> str:
    return (
        Cell(number(sum(values) / len(values), digits), sum(values) / len(values), of=of) if values else NONE
    )


def curvature_table(context: ReportContext) -> Table:
    """Curvature at the last checkpoint: mean ± sd over seeds, and the mean standard error of one trace estimate."""
    names = arm_names(context.report)
    common = context.final_rows("hessian_trace", objective="common")
    own = context.final_rows("hessian_trace", objective="own")
    top = context.final_rows("hessian_top_eigenvalue", objective="common")
    rows = []
    for arm in context.arms:
        mine = common[common["arm"] == arm]
        cells = [mean_sd_cell(frame[frame["arm"] == arm]) for frame in (common, own, top)]
        rows.append([names[arm], cells[0], mean_cell(mine["stderr"], mine["row"]), *cells[1:]])
    columns = [
        "Arm",
        "trace, common objective",
        "std. error of one estimate",
        "trace, own objective",
        "top eigenvalue, common",
    ]
    return {"columns": columns, "rows": rows}


def error_rate_table(verdict: Mapping[str, Any]) -> Table:
    """Simulated error rates of the rule, per hypothesis and number of seeds."""
    rows = [
        [
            markdown(item["id"]),
            _decided(
                item,
                number(item["error_rates"]["log_sd_of_paired_difference"], 2),
                item["error_rates"]["log_sd_of_paired_difference"],
            ),
            _decided(item, str(point["num_seeds"]), point["num_seeds"]),
            *(
                _decided(item, rate_text(point[key]), point[key])
                for key in ("false_verdicts", "power_at_threshold", "power_at_twice_threshold")
            ),
        ]
        for item in verdict["hypotheses"]
        if item.get("error_rates")
        for point in item["error_rates"]["by_num_seeds"]
    ]
    columns = [
        "Hypothesis",
        "sd of log ratio",
        "seeds",
        "false verdicts",
        "power at threshold",
        "power at twice the threshold",
    ]
    return {"columns": columns, "rows": rows or [[NONE] * len(columns)]}


def _decided(item: Mapping[str, Any], text: str, value: float) -> Cell:
    return Cell(text, value, hypothesis=item["id"])


def setting_cell(value: Any, origin: str = "lock") -> Cell:
    """A setting's value, by default as the preregistration's gate knows it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(markdown(setting_value(value)), float(value) if is_number else None, of=[origin])


def rate_text(rate: float) -> str:
    """A share of simulations: 4.8 %."""
    return f"{100 * rate:.1f} %"


def scale_mark_table(context: ReportContext) -> Table:
    """What distances between known sets of images come to on the same features."""
    rows = [
        [
            source_numbers(markdown(mark["label"]), "reference"),
            Cell(number(mark["value"]), mark["value"], of=["reference"]),
            Cell(f"{mark['num_samples']:,}", mark["num_samples"], of=["reference"]),
        ]
        for mark in context.scale_marks
    ]
    return {
        "columns": ["Known distance", markdown(metric_name(context.report["metric"])), "Images"],
        "rows": rows,
    }


def substitution_table(verdict: Mapping[str, Any]) -> Table:
    """Per hypothesis, what was measured in place of what was preregistered, and what is missing."""
    rows = []
    for item in verdict["hypotheses"]:
        changes = [
            [markdown(change["field"]), *(setting_cell(change[key]) for key in ("preregistered", "used"))]
            for change in item["substitutions"]
        ]
        if item["outcome"] == "not_run":
            changes = [
                ["arm", Cell("run", of=["lock"]), Cell("not run in this preset", hypothesis=item["id"])]
            ]
        elif item["missing_seeds"]:
            missing = ", ".join(str(seed) for seed in item["missing_seeds"])
            planned = len(item["seeds"]) + len(item["missing_seeds"])
            changes.append(
                [
                    "seeds",
                    Cell(str(planned), planned, of=["setting/seeds"]),
                    Cell(f"{len(item['seeds'])}; missing {missing}", hypothesis=item["id"]),
                ]
            )
        rows += [[markdown(item["id"]), *change] for change in changes]
    return {"columns": ["Hypothesis", "What", "Preregistered", "Here"], "rows": rows}


def matched_compute_table(report: Mapping[str, Any], gate: Mapping[str, Any]) -> Table:
    """Every setting in which two compared arms differ."""
    names = arm_names(report)
    rows = [
        [
            markdown(comparison["experiment"]),
            *(names.get(comparison[key], markdown(comparison[key])) for key in ("arm", "comparator")),
            f"`{markdown(item['key'])}`",
            *(
                setting_cell(item[f"{side}_value"], f"setting/{comparison[side]}/{item['key']}")
                for side in ("arm", "comparator")
            ),
        ]
        for comparison in gate["comparisons"]
        for item in comparison["differences"]
    ]
    columns = ["Experiment", "Arm", "Comparator", "Setting", "Arm's value", "Comparator's value"]
    return {"columns": columns, "rows": rows or [[NONE] * len(columns)]}
