"""Fréchet distance against curvature at the end of training, one point per run."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext
from workflow_scripts.study.reasons import metric_name


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Main metric against the Hessian trace on the common objective, with the standard error of the trace."""
    report = context.report
    metric, point = report["metric"], context.points[report["main_point"]]
    traces = context.final_rows("hessian_trace", objective="common")[["arm", "seed", "value", "stderr"]]
    distances = context.main_rows()[["arm", "seed", "value"]].rename(columns={"value": metric})
    runs = traces.rename(columns={"value": "hessian_trace"}).merge(distances, on=["arm", "seed"])
    figure = style.new_figure(8.4, 4.4)
    axes = figure.subplots()
    if runs.empty:
        style.say_nothing(axes, "No run has both a Hessian trace and the main metric.")
    else:
        axes.set_xlabel("Hessian trace of the mean squared error (common objective)")
        axes.set_ylabel(f"{metric_name(metric)}, {point['sampler']}, NFE {point['nfe']}")
    for arm in context.arms:
        mine = runs[runs["arm"] == arm]
        if not mine.empty:
            axes.errorbar(
                mine["hessian_trace"],
                mine[metric],
                xerr=mine["stderr"].astype(float).fillna(0.0),
                ms=7,
                elinewidth=1.0,
                capsize=2,
                alpha=0.9,
                label=context.label(arm),
                **{**style.arm_style(context, arm), "linestyle": ""},
            )
    note = "Points: runs. Bars: standard error of the estimated trace." if len(runs) else ""
    style.finish(context, figure, [note, style.missing_note(context, runs)])
    return figure, runs
