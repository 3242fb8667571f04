"""Noise prediction error per timestep at the last checkpoint, and its ratio to the baseline."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.core.files import read_json
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext

COLUMNS = ["quantity", "arm", "t", "mean", "low", "high", "num_seeds"]


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Lines are means over seeds, bands go from the lowest to the highest seed; ratios are paired by seed."""
    figure = style.new_figure(10.0, 3.8)
    left, right = figure.subplots(1, 2)
    runs = _errors(context)
    ratios = _ratios(context, runs)
    left.set_title("Noise prediction error")
    right.set_title("Relative to the baseline")
    frames = []
    for axes, frame, name, otherwise in (
        (left, runs, "mse", "No error per timestep at the last checkpoint."),
        (right, ratios, "ratio to baseline", "No pair to compare."),
    ):
        if frame.empty:
            style.say_nothing(axes, otherwise)
            continue
        means = style.over_seeds(frame, ["arm", "t"])
        style.draw_bands(axes, context, means, "t", ms=3.5)
        axes.set_xlabel("timestep t (0 is the least noisy)")
        frames.append(means.assign(quantity=name))
    if not runs.empty:
        left.set_yscale("log")
        style.log_ticks(left.yaxis)
        left.set_ylabel("mean squared error of ε")
    if not ratios.empty:
        right.axhline(1.0, color=style.EDGE, lw=0.9)
        right.set_ylabel("ratio to the baseline")
    note = "Lines: means over seeds. Bands: lowest to highest seed." if frames else ""
    style.finish(context, figure, [note, style.missing_note(context, runs)])
    return figure, pd.concat(frames)[COLUMNS] if frames else pd.DataFrame(columns=COLUMNS)


def _errors(context: ReportContext) -> pd.DataFrame:
    records = [
        (arm, seed, point["t"], point["mse"])
        for (arm, seed), paths in sorted(context.probes.items())
        for path in paths
        if arm in context.arms and path.stem == f"step{context.final_step(arm):07d}"
        for point in read_json(path)["timestep_mse"]
    ]
    return pd.DataFrame(records, columns=["arm", "seed", "t", "value"])


def _ratios(context: ReportContext, runs: pd.DataFrame) -> pd.DataFrame:
    """Per arm, seed and t: error divided by that of the first baseline arm with equal diffusion settings."""
    frames = []
    baselines = [arm for arm in context.report["arms"] if arm["baseline"]]
    for arm in context.report["arms"]:
        same = [other["name"] for other in baselines if other["diffusion"] == arm["diffusion"]]
        if not same or arm["name"] == same[0]:
            continue
        mine, baseline = (runs[runs["arm"] == name] for name in (arm["name"], same[0]))
        pairs = mine.merge(baseline, on=["seed", "t"], suffixes=("", "_baseline"))
        ratio = pairs["value"] / pairs["value_baseline"]
        frames.append(pairs.assign(value=ratio)[["arm", "seed", "t", "value"]])
    return pd.concat(frames) if frames else runs.iloc[:0]
