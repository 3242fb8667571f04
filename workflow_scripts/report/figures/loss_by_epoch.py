"""The unweighted error of the predicted noise against the epoch, with what is reached without learning."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.core.epochs import epoch_means
from workflow_scripts.core.files import read_npz
from workflow_scripts.diffusion.schedules import alphas_cumprod_of, make_betas
from workflow_scripts.diffusion.wiener import covariance_eigenvalues, wiener_eps_mse
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import schedule_label

COLUMNS = ["curve", "epoch", "mean", "low", "high", "num_seeds"]


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Means over whole epochs; lines are means over seeds, bands reach from the lowest to the highest."""
    figure = style.new_figure(9.0, 4.4)
    axes = figure.subplots()
    images = None if context.train is None else read_npz(context.train, "images")[0]
    runs = pd.DataFrame() if images is None else _errors(context, len(images))
    if runs.empty:
        style.say_nothing(axes, "No training logs with the error of predicted noise.")
        style.finish(context, figure, [])
        return figure, pd.DataFrame(columns=COLUMNS)
    curves = style.over_seeds(runs, ["arm", "epoch"])
    style.draw_bands(axes, context, curves, "epoch", marker="")
    last, lines = float(curves["epoch"].max()), {"predicting zero": 1.0}
    eigenvalues = covariance_eigenvalues(images)
    for arm in dict.fromkeys(runs["arm"]):
        diffusion = context.arm(arm)["diffusion"]
        error = wiener_eps_mse(eigenvalues, alphas_cumprod_of(make_betas(diffusion)))
        lines[f"best linear denoiser, {schedule_label(diffusion)}"] = error
    for number, (name, error) in enumerate(lines.items()):
        line_style = style.LINE_STYLES[number % len(style.LINE_STYLES)]
        axes.axhline(error, color=style.TEXT, lw=1.0, ls=line_style, label=name)
    axes.set_yscale("log")
    style.log_ticks(axes.yaxis)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean squared error of ε")
    note = "Means over whole epochs. Bands: lowest to highest seed."
    style.finish(context, figure, [note, style.missing_note(context, runs)])
    flat = pd.DataFrame([(name, last, *[error] * 3, 0) for name, error in lines.items()], columns=COLUMNS)
    return figure, pd.concat([curves.rename(columns={"arm": "curve"})[COLUMNS], flat])


def _errors(context: ReportContext, num_images: int) -> pd.DataFrame:
    frames = []
    for (arm, seed), path in sorted(context.logs.items()):
        log = pd.read_csv(path)
        if (
            arm not in context.arms
            or "mse" not in log
            or context.arm(arm)["diffusion"]["prediction_type"] != "eps"
        ):
            continue
        per_epoch = num_images / context.arm(arm)["training"]["batch_size"]
        means = epoch_means(log["step"].to_numpy(), log["mse"].to_numpy(), per_epoch)
        epochs = np.arange(1, len(means) + 1)
        if not len(means):  # rows are means over more than an epoch
            log = log[np.isfinite(log["mse"])]
            means, epochs = log["mse"].array, log["step"].array / per_epoch
        frames.append(pd.DataFrame({"arm": arm, "seed": seed, "epoch": epochs, "value": means}))
    return pd.concat(frames) if frames else pd.DataFrame()
