"""The arm's own loss, the unweighted squared error and the gradient norm against the training step."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext

PANELS = {
    "loss": ("Own objective", "weighted loss"),
    "mse": ("Unweighted error", "mean squared error"),
    "grad_norm": ("Gradient norm", "norm before clipping"),
}
COLUMNS = ["arm", "quantity", "step", "mean", "low", "high", "num_seeds"]
# Half-life of the exponential smoothing as a share of the logged points: enough to tell arms apart and keep
# the trend.
SMOOTHING_SHARE = 0.02


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Smoothed curves: lines are means over seeds, bands reach from the lowest to the highest seed."""
    figure = style.new_figure(10.6, 3.6)
    panels = figure.subplots(1, len(PANELS))
    curves = _smoothed(context)
    for axes, (quantity, (title, ylabel)) in zip(panels, PANELS.items()):
        axes.set_title(title)
        if curves.empty:
            style.say_nothing(axes, "No training logs.")
            continue
        style.draw_bands(axes, context, curves[curves["quantity"] == quantity], "step", marker="")
        axes.set_yscale("log")
        style.log_ticks(axes.yaxis)
        style.step_ticks(axes)
        axes.set_ylabel(ylabel)
    runs = pd.DataFrame(list(context.logs), columns=["arm", "seed"])
    note = "Lines: means over seeds. Bands: lowest to highest seed. Smoothed." if len(curves) else ""
    style.finish(context, figure, [note, style.missing_note(context, runs)])
    return figure, curves


def _smoothed(context: ReportContext) -> pd.DataFrame:
    frames = []
    for (arm, seed), path in sorted(context.logs.items()):
        if arm not in context.arms:
            continue
        try:
            log = pd.read_csv(path)
            shown = [name for name in PANELS if name in log]  # methods log what they have
            log = log[["step", *shown]]
            log = log.where(log.abs() < float("inf"))  # a run that diverged ends with others
        except (OSError, ValueError, KeyError) as error:
            raise PipelineError(
                f"{path} is not a training log ({error}); delete the run and train again"
            ) from error
        smooth = log[shown].ewm(halflife=max(1.0, SMOOTHING_SHARE * len(log))).mean()
        smooth["step"] = log["step"]
        frames.append(smooth.melt("step", var_name="quantity").assign(arm=arm, seed=seed))
    if not frames:
        return pd.DataFrame(columns=COLUMNS)
    return style.over_seeds(pd.concat(frames), ["arm", "quantity", "step"])[COLUMNS]
