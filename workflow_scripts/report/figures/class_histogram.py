"""How often a classifier sees each class among samples, as a ratio to the real images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.core.files import read_npz
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Lines are means over seeds, at each arm's main point; bands show the range over seeds."""
    real = None if context.train is None else np.bincount(read_npz(context.train, "labels")[0])
    records = []
    for (arm, seed, point), path in sorted(context.features.items()):
        if arm not in context.arms or point != context.main_points[arm] or real is None:
            continue
        (predicted,) = read_npz(path, "predicted")
        if len(predicted):  # not of a run that diverged
            seen = np.bincount(predicted, minlength=len(real)) / len(predicted)
            # a class that no real image has, has no ratio
            labels = np.flatnonzero(real)
            ratios = seen[labels] / (real[labels] / real.sum())
            records += [(arm, seed, label, value) for label, value in zip(labels.tolist(), ratios)]
    frame = pd.DataFrame(records, columns=["arm", "seed", "class", "value"])
    figure = style.new_figure(9.0, 3.8)
    axes = figure.subplots()
    if frame.empty:
        style.say_nothing(axes, "No classes of samples.")
    else:
        style.draw_bands(axes, context, style.over_seeds(frame, ["arm", "class"]), "class", ms=4)
        axes.axhline(1.0, color=style.EDGE, lw=0.9)
        axes.set_xticks(sorted(frame["class"].unique()))
        axes.set_xlabel("class that the classifier sees")
        axes.set_ylabel("share, ratio to real")
        axes.set_ylim(bottom=0)
    style.finish(context, figure, ["Bands: range over seeds.", style.missing_note(context, frame)])
    return figure, frame
