"""Signal-to-noise ratio of each schedule, and the loss weight of each arm, against the timestep."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.diffusion.schedules import alphas_cumprod_of, make_betas, snr_of
from workflow_scripts.diffusion.weighting import loss_weights
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import schedule_label

LINE_WIDTHS = (4.2, 1.4)  # points, first and last


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Both curves follow from the settings of arms that diffuse; where they coincide, arms share one line."""
    figure = style.new_figure(10.0, 4.0)
    left, right = figure.subplots(1, 2)
    schedules: dict[str, np.ndarray] = {}
    weights: dict[bytes, tuple[list[str], np.ndarray]] = {}
    gammas = set()
    for arm in context.arms:
        if all(context.points[point]["sampler"] == "direct" for point in context.arm(arm)["points"]):
            continue
        diffusion, loss = context.arm(arm)["diffusion"], context.arm(arm)["loss"]
        ratio = snr_of(alphas_cumprod_of(make_betas(diffusion)))
        gamma = loss.get("min_snr_gamma")
        schedules[schedule_label(diffusion)] = ratio
        weight = np.asarray(loss_weights(ratio, diffusion["prediction_type"], loss["weighting"], gamma))
        weights.setdefault(weight.tobytes(), ([], weight))[0].append(arm)
        gammas |= set() if gamma is None else {gamma}

    records = []
    for index, (name, ratio) in enumerate(schedules.items()):
        line_style = style.LINE_STYLES[index % len(style.LINE_STYLES)]
        left.plot(ratio, color=style.TEXT, ls=line_style, label=f"schedule: {name}")
        records += [("snr", name, t, value) for t, value in enumerate(ratio)]
    listed = "clipping at γ = " + ", ".join(f"{gamma:g}" for gamma in sorted(gammas))
    for gamma in gammas:
        left.axhline(gamma, color=style.EDGE, lw=0.9, ls=(0, (4, 3)), label=listed)
    widths = np.linspace(*LINE_WIDTHS, len(weights))
    for width, (arms, weight) in zip(widths, weights.values()):
        # Later lines are thinner, so that one below them can be seen where they coincide.
        look = {**style.arm_style(context, arms[0]), "marker": "", "lw": width}
        right.plot(weight, label="; ".join(context.label(arm) for arm in arms), **look)
        records += [("weight", ", ".join(arms), t, value) for t, value in enumerate(weight)]
    _finish(left, "Signal-to-noise ratio", "SNR (signal power / noise power)")
    _finish(right, "Loss weight", "weight of the squared error")
    style.finish(context, figure, [])
    return figure, pd.DataFrame(records, columns=["quantity", "curve", "t", "value"])


def _finish(axes: Axes, title: str, ylabel: str) -> None:
    axes.set_yscale("log")
    style.log_ticks(axes.yaxis)
    axes.set_title(title)
    axes.set_xlabel("timestep t (0 is the least noisy)")
    axes.set_ylabel(ylabel)
