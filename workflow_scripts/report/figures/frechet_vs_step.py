"""Fréchet distance of images from every checkpoint against the training step."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext
from workflow_scripts.study.reasons import metric_name


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Lines are means over seeds; bands reach from the lowest to the highest seed."""
    metric, arms = context.report["metric"], context.report["arms"]
    own = {arm["name"]: arm["by_step"] for arm in arms}
    rows = context.rows(metric)
    frame = rows[rows["point"] == rows["arm"].map(own)][["arm", "seed", "step", "value"]]
    figure = style.new_figure(8.4, 4.0)
    axes = figure.subplots()
    note = ""
    if frame.empty:
        style.say_nothing(axes, "Not measured.")
    else:
        note = f"Images at {', '.join(sorted({*own.values()} - {None}))}. Bands: range over seeds."
        style.draw_bands(axes, context, style.over_seeds(frame, ["arm", "step"]), "step", ms=4)
        axes.set_ylabel(metric_name(metric))
        style.step_ticks(axes)
        if frame["value"].min() > 0:
            axes.set_yscale("log")
            style.log_ticks(axes.yaxis)
    style.finish(context, figure, [note, style.missing_note(context, frame)])
    return figure, frame
