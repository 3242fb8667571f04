"""Fréchet distance against curvature at the end of training, one point per run."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.direct_labels import arm_labels, label_lines
from workflow_scripts.study.reasons import metric_name


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Hessian trace on the common objective (with its standard error) against the main metric."""
    traces = context.final_rows("hessian_trace", objective="common")[["arm", "seed", "value", "stderr"]]
    distances = context.main_rows()[["arm", "seed", "value"]]
    runs = traces.rename(columns={"value": "hessian_trace"}).merge(
        distances.rename(columns={"value": context.report["metric"]}), on=["arm", "seed"]
    )
    figure = style.new_figure(8.4, 4.8)
    axes = figure.subplots()
    if runs.empty:
        style.say_nothing(axes, "No run has both a Hessian trace and the main metric.")
    for arm in context.arms:
        mine, look = runs[runs["arm"] == arm], {**style.arm_style(context, arm), "linestyle": ""}
        if not mine.empty:
            axes.errorbar(
                mine["hessian_trace"],
                mine[context.report["metric"]],
                xerr=mine["stderr"].astype(float).fillna(0.0),
                ms=7,
                elinewidth=1.0,
                capsize=2,
                alpha=0.9,
                **look,
            )
    if not runs.empty:
        axes.set_xlabel("Hessian trace of the mean squared error (common objective)")
        axes.set_ylabel(
            f"{metric_name(context.report['metric'])}, {context.report['main_sampler']}, "
            f"NFE {context.report['main_nfe']}"
        )
    bars = "Points: runs. Bars: standard error of the trace's estimate." if len(runs) else ""
    style.footer(context, figure, [bars, style.missing_note(context, runs)])
    if not runs.empty:
        heights = runs.groupby("arm")[context.report["metric"]].mean().to_dict()
        label_lines(
            figure,
            axes,
            arm_labels(context, heights, [arm for arm in context.arms if arm in heights]),
            leaders=False,
        )
    return figure, runs
