"""Fréchet distance against network calls per image, one panel per sampler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext, geometric_interval
from workflow_scripts.report.labels import number, sampler_label
from workflow_scripts.study.reasons import metric_name

# A scale mark is drawn when it lies within this factor of the data; farther ones would flatten the curves.
MARK_REACH = 2.5
# Seeds stand beside their mean, so that its marker does not cover them.
SEED_SHIFT = 1.015
COLUMNS = ["sampler", "eta", "nfe", "arm", "kind", "seed", "value", "low", "high"]


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Geometric mean over seeds with its 95 % t interval (on the logarithm); faint points are seeds."""
    report = context.report
    samplers = _samplers(context.points)
    figure = style.new_figure(max(9.0, 2.6 * len(samplers) + 2.4), 4.0)
    panels = figure.subplots(1, len(samplers), sharey=True, squeeze=False)[0]
    records: list[tuple] = []
    found, undrawn = [], []
    for axes, sampler in zip(panels, samplers):
        axes.set_title(sampler_label(sampler))
        rows = context.final_rows(report["metric"])
        rows = rows[rows["point"].isin(sampler["points"])]
        positive = rows["value"] > 0  # other values have no place on a logarithmic axis
        undrawn += list(rows[~positive].itertuples())
        rows = rows[positive]
        if rows.empty:
            style.say_nothing(axes, "No results for this sampler.")
            continue
        found.append(rows)
        records += _draw_panel(context, axes, rows, sorted(sampler["nfe"]))
        records += _draw_anchors(context, axes, sampler)
        axes.set_xlabel("network calls per image (NFE)")
    frame = pd.DataFrame(records, columns=COLUMNS)
    rows = pd.concat(found) if found else frame
    off_scale = _draw_marks(context, [axes for axes in panels if axes.lines], rows["value"])
    if found:
        style.log_ticks(panels[0].yaxis)
        next(axes for axes in panels if axes.lines).set_ylabel(
            f"{metric_name(report['metric'])}, lower is better"
        )
    seeds = rows.groupby("arm")["seed"].nunique()
    nonpositive = "; ".join(
        f"{context.label(row.arm)} seed {row.seed}, {row.sampler} NFE {row.nfe}: {number(row.value, 3)}"
        for row in undrawn
    )
    notes = [
        "Bars: 95 % t intervals of the geometric mean over seeds. Faint points: seeds."
        if any(seeds > 1)
        else "",
        "Arms with one seed have no interval." if any(seeds == 1) else "",
        f"Not drawn because not positive: {nonpositive}." if nonpositive else "",
        f"Outside this scale: {off_scale}." if off_scale else "",
        *(
            f"{anchor['label']}: {anchor['citation']}; {anchor['note']}."
            for anchor in report["anchors"]
            if found
        ),
        style.missing_note(context, rows),
    ]
    style.finish(context, figure, notes)
    return figure, frame


def _samplers(points: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each sampler with its settings, its points and their numbers of calls, in the order of the settings."""
    found: dict[tuple, dict[str, Any]] = {}
    for name, point in points.items():
        own = {key: point.get(key) for key in ("sampler", "eta", "guidance_scale")}
        sampler = found.setdefault(tuple(own.values()), {**own, "points": [], "nfe": []})
        sampler["points"].append(name)
        sampler["nfe"].append(point["nfe"])
    return list(found.values())


def _draw_panel(context: ReportContext, axes: Axes, rows: pd.DataFrame, nfes: list[int]) -> list[tuple]:
    axes.set_xscale("log")
    axes.set_yscale("log")
    records = []
    present = [arm for arm in context.arms if (rows["arm"] == arm).any()]
    for index, arm in enumerate(present):
        look = style.arm_style(context, arm)
        # Arms stand side by side at each NFE, so that intervals do not hide each other; the CSV holds the
        # true NFE.
        shift = np.exp(style.symmetric_dodge(index, len(present), 0.11))
        mine = rows[rows["arm"] == arm].sort_values(["nfe", "seed"])
        axes.plot(
            mine["nfe"].astype(float) * shift * SEED_SHIFT,
            mine["value"],
            ls="",
            marker="o",
            ms=3.5,
            mew=0,
            alpha=0.45,
            color=look["color"],
        )
        groups = mine.groupby("nfe")["value"]
        means, lows, highs = np.array([geometric_interval(group) for _, group in groups]).T
        errors = np.nan_to_num([means - lows, highs - means])
        calls = np.array(list(groups.groups), dtype=float)
        line = {"elinewidth": 1.1, "capsize": 2.5, "ms": 5, "label": context.label(arm), **look}
        axes.errorbar(calls * shift, means, yerr=errors, **line)
        sampler, eta = mine["sampler"].iloc[0], mine["eta"].iloc[0]
        for nfe, mean, low, high in zip(groups.groups, means, lows, highs):
            seeds = mine[mine["nfe"] == nfe]
            records += [
                (sampler, eta, int(nfe), arm, "seed", row.seed, row.value, None, None)
                for row in seeds.itertuples()
            ]
            records.append((sampler, eta, int(nfe), arm, "geometric mean", None, mean, low, high))
    axes.set_xlim(nfes[0] / 1.25, nfes[-1] * 1.25)
    style.log_ticks(axes.xaxis, nfes)
    return records


def _draw_anchors(context: ReportContext, axes: Axes, sampler: dict[str, Any]) -> list[tuple]:
    """Draw published values of this sampler as thin grey lines, within the runs' range of NFE."""
    records = []
    identity = (sampler["sampler"], sampler["eta"])
    low, high = min(sampler["nfe"]), max(sampler["nfe"])
    look = {"color": style.EDGE, "lw": 0.9, "ls": ":", "marker": "D", "mfc": "white", "ms": 3.5}
    for anchor in context.report["anchors"]:
        for curve in anchor["curves"]:
            points = [(nfe, value) for nfe, value in zip(curve["nfe"], curve["values"]) if low <= nfe <= high]
            if (curve["sampler"], curve["eta"]) == identity and points:
                axes.plot(*zip(*points), label=anchor["label"], **look)
                records += [
                    (*identity, nfe, None, anchor["label"], None, value, None, None) for nfe, value in points
                ]
    return records


def _draw_marks(context: ReportContext, drawn: list[Axes], values: pd.Series) -> str:
    """Draw scale marks near the data as grey lines, each with its own dashes; return a list of the others."""
    far: list[str] = []
    near = 0
    for mark in context.scale_marks if drawn else ():
        label = f"{mark['label']}: {number(mark['value'], 3)}"
        if not values.min() / MARK_REACH <= mark["value"] <= values.max() * MARK_REACH:
            far.append(label)
            continue
        near += 1
        for axes in drawn:
            dashes = (0, (6, 2, *[1, 2] * (near - 1)))
            axes.axhline(mark["value"], color=style.EDGE, lw=0.9, ls=dashes, zorder=0, label=label)
    return "; ".join(far)
