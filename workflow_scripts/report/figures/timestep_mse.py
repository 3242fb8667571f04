"""Noise prediction error per timestep at the last checkpoint, and its ratio to the baseline of the same schedule."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.core.files import read_json
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.direct_labels import arm_labels, label_lines


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Line: mean over seeds; band: lowest to highest seed. Ratios are paired by seed."""
    figure = style.new_figure(10.0, 4.2)
    left, right = figure.subplots(1, 2)
    runs = _errors(context)
    ratios = _ratios(context, runs)
    left.set_title("Noise prediction error")
    right.set_title("Relative to the baseline")
    frames = []
    for axes, frame, name in ((left, runs, "mse"), (right, ratios, "ratio to baseline")):
        if frame.empty:
            style.say_nothing(
                axes,
                "No error per timestep at the last checkpoint." if axes is left else "No pair to compare.",
            )
            continue
        spread = (
            frame.groupby(["arm", "t"])["value"]
            .agg(mean="mean", low="min", high="max", num_seeds="count")
            .reset_index()
        )
        for arm in context.arms:
            mine = spread[spread["arm"] == arm]
            if not mine.empty:
                look = style.arm_style(context, arm)
                axes.plot(mine["t"], mine["mean"], ms=3.5, lw=1.4, **look)
                axes.fill_between(mine["t"], mine["low"], mine["high"], color=look["color"], alpha=0.15, lw=0)
        axes.set_xlabel("timestep t (0 is the least noisy)")
        frames.append(spread.assign(quantity=name))
    if not runs.empty:
        left.set_yscale("log")
        style.log_ticks(left.yaxis)
        left.set_ylabel("mean squared error of ε")
    if not ratios.empty:
        right.axhline(1.0, color=style.EDGE, lw=0.9)
        right.set_ylabel("ratio to the baseline of the same schedule")
    columns = ["quantity", "arm", "t", "mean", "low", "high", "num_seeds"]
    frame = pd.concat(frames)[columns] if frames else pd.DataFrame(columns=columns)
    bands = "Lines: means over seeds; bands: lowest to highest seed." if frames else ""
    style.footer(context, figure, [bands, style.missing_note(context, runs)])
    if frames:
        labelled = left if ratios.empty else right
        ends = frames[-1].sort_values("t").groupby("arm")["mean"].last().to_dict()
        label_lines(
            figure,
            labelled,
            arm_labels(context, ends, [arm for arm in context.arms if (frame["arm"] == arm).any()]),
        )
    return figure, frame


def _errors(context: ReportContext) -> pd.DataFrame:
    records = []
    final = f"step{context.report['final_step']:07d}"
    for (arm, seed), paths in sorted(context.probes.items()):
        for path in paths:
            if arm in context.arms and path.stem == final:
                records += [
                    (arm, seed, point["t"], point["mse"]) for point in read_json(path)["timestep_mse"]
                ]
    return pd.DataFrame(records, columns=["arm", "seed", "t", "value"])


def _ratios(context: ReportContext, runs: pd.DataFrame) -> pd.DataFrame:
    """Per arm, seed and t: error divided by that of the first baseline arm with equal diffusion settings."""
    frames = []
    for arm in context.report["arms"]:
        baselines = [other for other in context.report["arms"] if other["baseline"]]
        same = [other["name"] for other in baselines if other["diffusion"] == arm["diffusion"]]
        if not same or arm["name"] == same[0]:
            continue
        mine = runs[runs["arm"] == arm["name"]]
        pairs = mine.merge(runs[runs["arm"] == same[0]], on=["seed", "t"], suffixes=("", "_baseline"))
        frames.append(
            pairs.assign(value=pairs["value"] / pairs["value_baseline"])[["arm", "seed", "t", "value"]]
        )
    return pd.concat(frames) if frames else runs.iloc[:0]
