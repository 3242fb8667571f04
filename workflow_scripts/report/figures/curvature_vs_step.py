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
    ("hessian_top_eigenvalue", "common", "Top eigenvalue, common"),
)
# Above this ratio of largest to smallest value a linear axis hides the small ones.
LOG_AXIS_RATIO = 20.0


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Line: mean over seeds; faint points: each seed with the standard error of its estimate."""
    figure = style.new_figure(9.6, 4.1)
    panels = figure.subplots(1, len(PANELS))
    frames = []
    for axes, (metric, objective, title) in zip(panels, PANELS):
        axes.set_title(title)
        rows = context.rows(metric, objective=objective)
        if rows.empty:
            style.say_nothing(axes, "Not measured.")
            continue
        _draw_panel(context, axes, rows)
        frames.append(rows.assign(metric=metric)[["metric", "objective", "arm", "seed", "step", "value", "stderr"]])
    drawn = [axes for axes in panels if axes.lines]
    if drawn:
        drawn[0].set_ylabel("curvature of the loss")
        style.legend_above(figure, drawn[0])
    style.footer(context, figure, [style.missing_note(context, context.final_rows("hessian_trace", objective="common"))])
    columns = ["metric", "objective", "arm", "seed", "step", "value", "stderr"]
    return figure, pd.concat(frames) if frames else pd.DataFrame(columns=columns)


def _draw_panel(context: ReportContext, axes: Axes, rows: pd.DataFrame) -> None:
    steps = sorted(rows["step"].unique())
    present = [arm for arm in context.arms if (rows["arm"] == arm).any()]
    width = 0.05 * (steps[-1] - steps[0])
    for index, arm in enumerate(present):
        mine, look = rows[rows["arm"] == arm], style.arm_style(context, arm)
        shift = style.symmetric_dodge(index, len(present), width)
        errors = mine["stderr"].astype(float).fillna(0.0)
        axes.errorbar(
            mine["step"] + shift, mine["value"], yerr=errors, ls="", marker="o", ms=3.5, mew=0, alpha=0.35,
            elinewidth=1.0, color=look["color"],
        )  # fmt: skip
        mean = mine.groupby("step")["value"].mean()
        axes.plot(mean.index + shift, mean, label=context.label(arm), ms=5, lw=1.5, **look)
    if rows["value"].min() > 0 and rows["value"].max() > LOG_AXIS_RATIO * rows["value"].min():
        axes.set_yscale("log")
        style.log_ticks(axes.yaxis)
    axes.set_xticks(steps)
    axes.set_xlabel("training step")
