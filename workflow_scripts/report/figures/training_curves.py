"""The arm's own loss, the unweighted squared error and the gradient norm against the training step."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext

PANELS = {
    "loss": ("Own objective", "weighted loss"),
    "mse": ("Unweighted error", "mean squared error"),
    "grad_norm": ("Gradient norm", "norm before clipping"),
}
# Half-life of the exponential smoothing as a share of the logged points: enough to see the arms apart, not the trend.
SMOOTHING_SHARE = 0.02


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Smoothed curve per arm: the line is the mean over seeds, the band reaches from the lowest to the highest seed."""
    figure = style.new_figure(9.6, 3.9)
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
            axes.plot(mine["step"], mine["mean"], label=context.label(arm), lw=1.5, **look)
            axes.fill_between(mine["step"], mine["low"], mine["high"], color=look["color"], alpha=0.15, lw=0)
        axes.set_yscale("log")
        style.log_ticks(axes.yaxis)
        axes.set_xlabel("training step")
        axes.set_ylabel(ylabel)
    style.legend_above(figure, panels[0])
    runs = pd.DataFrame(list(context.logs), columns=["arm", "seed"])
    style.footer(context, figure, [style.missing_note(context, runs)])
    return figure, curves


def _smoothed(context: ReportContext) -> pd.DataFrame:
    frames = []
    for (arm, seed), path in sorted(context.logs.items()):
        if arm not in context.arms:
            continue
        try:
            log = pd.read_csv(path)[["step", *PANELS]]
        except (OSError, ValueError, KeyError) as error:
            raise PipelineError(f"{path} is no training log ({error}); delete the run and train again") from error
        smooth = log[list(PANELS)].ewm(halflife=max(1.0, SMOOTHING_SHARE * len(log))).mean()
        smooth["step"] = log["step"]
        frames.append(smooth.melt("step", var_name="quantity").assign(arm=arm, seed=seed))
    columns = ["arm", "quantity", "step", "mean", "low", "high", "num_seeds"]
    if not frames:
        return pd.DataFrame(columns=columns)
    grouped = pd.concat(frames).groupby(["arm", "quantity", "step"])["value"]
    return grouped.agg(mean="mean", low="min", high="max", num_seeds="count").reset_index()[columns]
