"""Hessian trace and top eigenvalue against the training step."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext

PANELS = (
    ("hessian_trace", "common", "Trace, common objective"),
    ("hessian_trace", "own", "Trace, own objective"),
    ("hessian_top_eigenvalue", "common", "Top eigenvalue, common objective"),
)
COLUMNS = ["metric", "objective", "arm", "seed", "step", "value", "stderr"]
# Above this ratio of largest to smallest value a linear axis hides the small ones.
LOG_AXIS_RATIO = 20.0
MAX_STEP_TICKS = 4


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Lines are means over seeds; faint points are seeds, each with the standard error of its estimate."""
    figure = style.new_figure(10.6, 3.7)
    panels = figure.subplots(1, len(PANELS))
    frames = []
    for axes, (metric, objective, title) in zip(panels, PANELS):
        axes.set_title(title)
        rows = context.rows(metric, objective=objective)
        if rows.empty:
            style.say_nothing(axes, "Not measured.")
            continue
        if not frames:
            axes.set_ylabel("curvature of the mean squared error")
        _draw_panel(context, axes, rows)
        frames.append(rows.assign(metric=metric)[COLUMNS])
    frame = pd.concat(frames) if frames else pd.DataFrame(columns=COLUMNS)
    note = (
        "Lines: means over seeds. Faint points: seeds. Bars: standard error of one estimate."
        if frames
        else ""
    )
    style.finish(context, figure, [note, style.missing_note(context, frame)])
    return figure, frame


def _draw_panel(context: ReportContext, axes: Axes, rows: pd.DataFrame) -> None:
    steps = sorted(rows["step"].unique())
    present = [arm for arm in context.arms if (rows["arm"] == arm).any()]
    for index, arm in enumerate(present):
        mine, look = rows[rows["arm"] == arm], style.arm_style(context, arm)
        shift = style.symmetric_dodge(index, len(present), 0.05 * (steps[-1] - steps[0]))
        axes.errorbar(
            mine["step"] + shift,
            mine["value"],
            yerr=mine["stderr"].astype(float).fillna(0.0),
            ls="",
            marker="o",
            ms=3.5,
            mew=0,
            alpha=0.35,
            elinewidth=1.0,
            color=look["color"],
        )
        mean = mine.groupby("step")["value"].mean()
        axes.plot(mean.index + shift, mean, ms=5, lw=1.5, label=context.label(arm), **look)
    if rows["value"].min() > 0 and rows["value"].max() > LOG_AXIS_RATIO * rows["value"].min():
        axes.set_yscale("log")
        style.log_ticks(axes.yaxis)
    style.step_ticks(axes)
    if len(steps) <= MAX_STEP_TICKS:
        axes.set_xticks(steps)
