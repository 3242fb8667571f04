"""Hessian trace and top eigenvalue against the training step."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.direct_labels import arm_labels, label_lines

PANELS = (
    ("hessian_trace", "common", "Trace, common objective"),
    ("hessian_trace", "own", "Trace, own objective"),
    ("hessian_top_eigenvalue", "common", "Top eigenvalue, common"),
)
# Above this ratio of largest to smallest value a linear axis hides the small ones.
LOG_AXIS_RATIO = 20.0
MAX_STEP_TICKS = 4


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Line: mean over seeds; faint points: each seed with the standard error of its estimate."""
    figure = style.new_figure(10.6, 4.1)
    panels = figure.subplots(1, len(PANELS))
    frames = []
    for axes, (metric, objective, title) in zip(panels, PANELS):
        axes.set_title(title)
        rows = context.rows(metric, objective=objective)
        if rows.empty:
            style.say_nothing(axes, "Not measured.")
            continue
        _draw_panel(context, axes, rows)
        frames.append(
            rows.assign(metric=metric)[["metric", "objective", "arm", "seed", "step", "value", "stderr"]]
        )
    drawn = [axes for axes in panels if axes.lines]
    if drawn:
        drawn[0].set_ylabel("curvature of the mean squared error")
    columns = ["metric", "objective", "arm", "seed", "step", "value", "stderr"]
    frame = pd.concat(frames) if frames else pd.DataFrame(columns=columns)
    bars = (
        "Lines: means over seeds. Faint points: seeds; bars: standard error of one estimate." if drawn else ""
    )
    style.footer(context, figure, [bars, style.missing_note(context, frame)])
    if drawn:
        last = frames[-1]
        heights = last.groupby(["arm", "step"])["value"].mean().groupby("arm").last().to_dict()
        label_lines(
            figure,
            drawn[-1],
            arm_labels(context, heights, [arm for arm in context.arms if (frame["arm"] == arm).any()]),
        )
    return figure, frame


def _draw_panel(context: ReportContext, axes: Axes, rows: pd.DataFrame) -> None:
    steps = sorted(rows["step"].unique())
    present = [arm for arm in context.arms if (rows["arm"] == arm).any()]
    width = 0.05 * (steps[-1] - steps[0])
    for index, arm in enumerate(present):
        mine, look = rows[rows["arm"] == arm], style.arm_style(context, arm)
        shift = style.symmetric_dodge(index, len(present), width)
        errors = mine["stderr"].astype(float).fillna(0.0)
        axes.errorbar(
            mine["step"] + shift,
            mine["value"],
            yerr=errors,
            ls="",
            marker="o",
            ms=3.5,
            mew=0,
            alpha=0.35,
            elinewidth=1.0,
            color=look["color"],
        )
        mean = mine.groupby("step")["value"].mean()
        axes.plot(mean.index + shift, mean, ms=5, lw=1.5, **look)
    if rows["value"].min() > 0 and rows["value"].max() > LOG_AXIS_RATIO * rows["value"].min():
        axes.set_yscale("log")
        style.log_ticks(axes.yaxis)
    if len(steps) <= MAX_STEP_TICKS:
        axes.set_xticks(steps)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(MAX_STEP_TICKS, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("training step")
