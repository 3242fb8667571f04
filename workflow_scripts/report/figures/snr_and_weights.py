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

SCHEDULE_STYLES = ("-", "--", ":", "-.")


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Both curves follow from the settings alone; arms whose curves coincide share one line."""
    figure = style.new_figure(9.0, 4.4)
    left, right = figure.subplots(1, 2)
    schedules: dict[str, np.ndarray] = {}
    weights: dict[bytes, tuple[list[str], np.ndarray]] = {}
    gammas = set()
    for arm in context.arms:
        diffusion, loss = context.arm(arm)["diffusion"], context.arm(arm)["loss"]
        ratio = snr_of(alphas_cumprod_of(make_betas(diffusion)))
        gamma = loss.get("min_snr_gamma")
        schedules[schedule_label(diffusion)] = ratio
        weight = np.asarray(loss_weights(ratio, diffusion["prediction_type"], loss["weighting"], gamma))
        weights.setdefault(weight.tobytes(), ([], weight))[0].append(arm)
        gammas |= set() if gamma is None else {gamma}

    records = []
    for index, (name, ratio) in enumerate(schedules.items()):
        left.plot(ratio, color="#333333", ls=SCHEDULE_STYLES[index % len(SCHEDULE_STYLES)], label=name)
        records += [("snr", name, t, value) for t, value in enumerate(ratio)]
    for index, gamma in enumerate(sorted(gammas)):
        left.axhline(gamma, color="#999999", lw=0.9, ls=(0, (4, 3)))
        left.annotate(
            # Side by side, because two γ may lie close.
            f"γ = {gamma:g}", (0.99 - 0.14 * (index % 3), gamma), xycoords=("axes fraction", "data"), xytext=(0, 2),
            textcoords="offset points", ha="right", fontsize=8, color=style.MUTED,
        )  # fmt: skip
    left.legend(loc="lower left")
    for arms, weight in weights.values():
        right.plot(weight, label=_shared_label(context, arms), **{**style.arm_style(context, arms[0]), "marker": ""})
        records += [("weight", ", ".join(arms), t, value) for t, value in enumerate(weight)]
    _finish(left, "Signal-to-noise ratio", "SNR")
    _finish(right, "Loss weight", "weight of the squared error")
    style.legend_above(figure, right, columns=2)
    style.footer(context, figure, [])
    return figure, pd.DataFrame(records, columns=["quantity", "curve", "t", "value"])


def _finish(axes: Axes, title: str, ylabel: str) -> None:
    axes.set_yscale("log")
    style.log_ticks(axes.yaxis)
    axes.set_title(title)
    axes.set_xlabel("timestep t (0 is the least noisy)")
    axes.set_ylabel(ylabel)


def _shared_label(context: ReportContext, arms: list[str]) -> str:
    return "; ".join(context.label(arm) for arm in arms)
