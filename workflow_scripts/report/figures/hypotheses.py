"""Forest plot: every estimate with its interval, in margins so that all units share one axis."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import (
    MINUS,
    OUTCOME_WORDS,
    arms_text,
    estimand_label,
    estimate_text,
    interval_text,
)
from workflow_scripts.study.estimands import BOUND, NONINFERIORITY, estimate, in_margins
from workflow_scripts.study.reasons import claim

# Few seeds can give intervals that reach far; beyond so many margins an arrow stands for them and the axis
# stays readable.
WIDEST = 10.0
COLUMNS = [
    "id",
    "role",
    "arm",
    "comparator",
    "estimand",
    "test",
    "claim",
    "estimate",
    "low",
    "high",
    "confidence",
    "outcome",
]


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Every hypothesis of the verdict in its order, also those that were not run."""
    hypotheses = (context.verdict or {}).get("hypotheses", [])
    figure = style.new_figure(9.6, 1.2 + 0.7 * max(len(hypotheses), 1))
    axes = figure.subplots()
    if not hypotheses:
        style.say_nothing(axes, "No verdict yet.")
        return figure, pd.DataFrame(columns=COLUMNS)
    ends = [abs(in_margins(item, end)) for item in hypotheses for end in item["interval"] or ()]
    widest = 1.05 * min(max([2.0, *ends]), WIDEST)
    axes.set_xlim(-widest, widest)
    records = []
    for row, hypothesis in enumerate(hypotheses):
        _draw_row(axes, row, hypothesis)
        low, high = hypothesis.get("interval") or (None, None)
        more = {"low": low, "high": high, "claim": claim(hypothesis), "estimate": estimate(hypothesis)}
        records.append([{**hypothesis, **more}.get(column) for column in COLUMNS])
    axes.axvline(0.0, color=style.TEXT, lw=1.0, zorder=1)
    axes.set_yticks(range(len(hypotheses)), [_row_label(context, hypothesis) for hypothesis in hypotheses])
    axes.set_ylim(len(hypotheses) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", MINUS))
    axes.set_xlabel("thresholds or margins from no difference; in a bound, half widths from its middle")
    note = (
        "Bars: paired t intervals over seeds, at the level stated. Grey band: changes smaller than the "
        "threshold, or where a margin or bound holds. Lines: the change that is claimed, or the edges."
    )
    style.finish(context, figure, [note])
    return figure, pd.DataFrame(records, columns=COLUMNS)


def _draw_row(axes: Axes, row: int, hypothesis: dict[str, Any]) -> None:
    outcome, test, (left, right) = hypothesis["outcome"], hypothesis["test"], axes.get_xlim()
    color = style.OUTCOME_COLORS.get(outcome, style.MUTED)
    is_lower = hypothesis["direction"] == "lower"
    claimed, lower, upper = [-1.0 if is_lower else 1.0], -1.0, 1.0
    if test == BOUND:
        claimed = [lower, upper]
    elif test == NONINFERIORITY:
        claimed, lower, upper = ([upper], left, upper) if is_lower else ([lower], lower, right)
    if test is not None:
        axes.fill_betweenx([row - 0.36, row + 0.36], lower, upper, color=style.BAND, lw=0, zorder=0)
        for end in claimed:
            axes.plot([end, end], [row - 0.36, row + 0.36], color=style.EDGE, lw=1.6, zorder=1)
    if hypothesis["interval"] is not None:
        values = estimate(hypothesis), *hypothesis["interval"]
        change, *interval = (in_margins(hypothesis, value) for value in values)
        axes.plot(interval, [row, row], color=color, lw=2.2, marker="|", ms=9, mew=1.6, zorder=2)
        for beyond, end, marker in ((interval[1] > right, right, ">"), (interval[0] < left, left, "<")):
            if beyond:
                axes.plot(end, row, marker=marker, ms=8, color=color, zorder=3, clip_on=False)
        filling = color if hypothesis["role"] == "confirmatory" else "white"
        axes.plot(change, row, marker="D", ms=7, color=color, mfc=filling, mew=1.6, zorder=3)
    beside = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "annotation_clip": False}
    words = {"va": "bottom", "color": color, "fontweight": "bold"}
    axes.annotate(OUTCOME_WORDS[outcome], (1.0, row), (8, 1), **words, **beside)
    axes.annotate(_numbers(hypothesis), (1.0, row), (8, -1), va="top", color=style.TEXT, fontsize=8, **beside)


def _numbers(hypothesis: dict[str, Any]) -> str:
    """Estimate and interval in figures."""
    if hypothesis.get("interval") is None:
        return "" if hypothesis["outcome"] == "not_run" or hypothesis["how"] else "no estimate"
    level = f"{100 * hypothesis['confidence']:.4g} %"
    return f"{estimate_text(hypothesis)} ({level}: {interval_text(hypothesis)})"


def _row_label(context: ReportContext, hypothesis: dict[str, Any]) -> str:
    names = {arm["name"]: arm["label"] for arm in context.report["arms"]}
    arms = arms_text(hypothesis, lambda arm: names.get(arm, arm)).replace(" / ", "\nagainst ")
    role = "" if hypothesis["role"] == "confirmatory" else " (exploratory)"
    claimed = f"\n{estimand_label(hypothesis['metric_used'])}: {claim(hypothesis)}"
    return f"{hypothesis['id']}{role}: {arms}{'' if hypothesis['how'] else claimed}"
