"""Forest plot: relative change with its interval per hypothesis, against the threshold."""

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
    change_text,
    estimand_label,
    interval_text,
    margins,
    threshold_text,
)

# Few seeds can give intervals that reach far up; beyond a doubling an arrow stands for them and the axis
# stays readable.
WIDEST = 1.0
COLUMNS = [
    "id",
    "role",
    "arm",
    "comparator",
    "threshold",
    "relative_change",
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
    records, limits = [], _limits(hypotheses)
    for row, hypothesis in enumerate(hypotheses):
        _draw_row(axes, row, hypothesis, limits[1])
        low, high = hypothesis.get("interval") or (None, None)
        records.append([{**hypothesis, "low": low, "high": high}.get(column) for column in COLUMNS])
    axes.set_xlim(*limits)
    axes.axvline(0.0, color=style.TEXT, lw=1.0, zorder=1)
    axes.set_yticks(range(len(hypotheses)), [_row_label(context, hypothesis) for hypothesis in hypotheses])
    axes.set_ylim(len(hypotheses) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(
        lambda value, _: f"{100 * value:+.0f} %".replace("-", MINUS).replace("+0 %", "0 %")
    )
    axes.set_xlabel("relative change of arm against comparator")
    note = (
        "Bars: paired t intervals over seeds, at the level stated. Grey band: changes smaller than the "
        "threshold. Line at its edge: the change the hypothesis claims."
    )
    style.finish(context, figure, [note])
    return figure, pd.DataFrame(records, columns=COLUMNS)


def _limits(hypotheses: list[dict[str, Any]]) -> tuple[float, float]:
    """Room for every interval and threshold, up to WIDEST."""
    ends = [0.0]
    for hypothesis in hypotheses:
        threshold = hypothesis["threshold"]
        ends += [-2 * threshold, 2 * threshold, *(hypothesis.get("interval") or [])]
    pad = 0.05 * (min(max(ends), WIDEST) - min(ends))
    return min(ends) - pad, max(ends) + pad if max(ends) <= WIDEST else WIDEST


def _draw_row(axes: Axes, row: int, hypothesis: dict[str, Any], axes_limit: float) -> None:
    lower, upper = margins(hypothesis["threshold"])
    axes.fill_betweenx([row - 0.36, row + 0.36], lower, upper, color=style.BAND, lw=0, zorder=0)
    claimed = lower if hypothesis["direction"] == "lower" else upper
    axes.plot([claimed, claimed], [row - 0.36, row + 0.36], color=style.EDGE, lw=1.6, zorder=1)
    outcome = hypothesis["outcome"]
    color = style.OUTCOME_COLORS.get(outcome, style.MUTED)
    change, interval = hypothesis.get("relative_change"), hypothesis.get("interval")
    if interval is not None:
        axes.plot(interval, [row, row], color=color, lw=2.2, marker="|", ms=9, mew=1.6, zorder=2)
        if interval[1] > axes_limit:
            axes.plot(axes_limit, row, marker=">", ms=8, color=color, zorder=3, clip_on=False)
    if change is not None and change <= axes_limit:
        filling = color if hypothesis["role"] == "confirmatory" else "white"
        axes.plot(change, row, marker="D", ms=7, color=color, mfc=filling, mew=1.6, zorder=3)
    beside = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "annotation_clip": False}
    words = {"va": "bottom", "color": color, "fontweight": "bold"}
    axes.annotate(OUTCOME_WORDS[outcome], (1.0, row), (8, 1), **words, **beside)
    axes.annotate(_numbers(hypothesis), (1.0, row), (8, -1), va="top", color=style.TEXT, fontsize=8, **beside)


def _numbers(hypothesis: dict[str, Any]) -> str:
    """Estimate and interval in figures."""
    change, interval = hypothesis.get("relative_change"), hypothesis.get("interval")
    if interval is None:
        return "" if hypothesis["outcome"] == "not_run" else "no estimate"
    return f"{change_text(change)} ({100 * hypothesis['confidence']:.4g} %: {interval_text(interval)})"


def _row_label(context: ReportContext, hypothesis: dict[str, Any]) -> str:
    names = {arm["name"]: arm["label"] for arm in context.report["arms"]}
    arm, comparator = (names.get(hypothesis[key], hypothesis[key]) for key in ("arm", "comparator"))
    metric = estimand_label(hypothesis.get("metric_used") or hypothesis["metric"])
    role = "" if hypothesis["role"] == "confirmatory" else " (exploratory)"
    threshold = threshold_text(hypothesis["threshold"])
    return f"{hypothesis['id']}{role}: {arm}\nagainst {comparator}\n{metric}, threshold {threshold}"
