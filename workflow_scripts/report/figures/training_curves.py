"""The arm's own loss, the unweighted squared error and the gradient norm against the training step."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.direct_labels import arm_labels, label_lines

PANELS = {
    "loss": ("Own objective", "weighted loss"),
    "mse": ("Unweighted error", "mean squared error"),
    "grad_norm": ("Gradient norm", "norm before clipping"),
}
# Half-life of the exponential smoothing as a share of the logged points: enough to see the arms apart, not the trend.
SMOOTHING_SHARE = 0.02


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Smoothed curve per arm: the line is the mean over seeds, the band reaches from the lowest to the highest seed."""
    figure = style.new_figure(10.6, 3.9)
    panels = figure.subplots(1, len(PANELS))
    curves = _smoothed(context)
    for axes, (quantity, (title, ylabel)) in zip(panels, PANELS.items()):
        axes.set_title(title)
        if curves.empty:
            style.say_nothing(axes, "No training logs.")
            continue
        for arm in context.arms:
            mine = curves[(curves["arm"] == arm) & (curves["quantity"] == quantity)]
            if mine.empty:
                continue
            look = {**style.arm_style(context, arm), "marker": ""}
            axes.plot(mine["step"], mine["mean"], lw=1.5, **look)
            axes.fill_between(mine["step"], mine["low"], mine["high"], color=look["color"], alpha=0.15, lw=0)
        axes.set_yscale("log")
        style.log_ticks(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("training step")
        axes.set_ylabel(ylabel)
    runs = pd.DataFrame(list(context.logs), columns=["arm", "seed"])
    bands = "Lines: means over seeds; bands: lowest to highest seed; smoothed." if len(curves) else ""
    style.footer(context, figure, [bands, style.missing_note(context, runs)])
    if not curves.empty:
        last = (
            curves[curves["quantity"] == list(PANELS)[-1]]
            .sort_values("step")
            .groupby("arm")["mean"]
            .last()
            .to_dict()
        )
        label_lines(
            figure, panels[-1], arm_labels(context, last, [arm for arm in context.arms if arm in last])
        )
    return figure, curves


def _smoothed(context: ReportContext) -> pd.DataFrame:
    frames = []
    for (arm, seed), path in sorted(context.logs.items()):
        if arm not in context.arms:
            continue
        try:
            log = pd.read_csv(path)[["step", *PANELS]]
        except (OSError, ValueError, KeyError) as error:
            raise PipelineError(
                f"{path} is no training log ({error}); delete the run and train again"
            ) from error
        smooth = log[list(PANELS)].ewm(halflife=max(1.0, SMOOTHING_SHARE * len(log))).mean()
        smooth["step"] = log["step"]
        frames.append(smooth.melt("step", var_name="quantity").assign(arm=arm, seed=seed))
    columns = ["arm", "quantity", "step", "mean", "low", "high", "num_seeds"]
    if not frames:
        return pd.DataFrame(columns=columns)
    grouped = pd.concat(frames).groupby(["arm", "quantity", "step"])["value"]
    return grouped.agg(mean="mean", low="min", high="max", num_seeds="count").reset_index()[columns]
