"""Fréchet distance against network calls per image, one panel per sampler."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import number, sampler_label
from workflow_scripts.report.statistics import geometric_interval
from workflow_scripts.study.reasons import metric_name

# A scale mark is drawn as a line when it lies within this factor of the data; otherwise it would flatten the curves.
MARK_REACH = 2.5
# Seeds stand beside their mean, where its marker does not cover them.
SEED_SHIFT = 1.015


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Geometric mean over seeds with its 95 % t interval (both on the logarithm), every seed as a faint point."""
    rows = context.final_rows(context.report["metric"])
    rows = rows[rows["sampler"].notna()]
    samplers = context.report["samplers"]
    figure = style.new_figure(9.0, 4.4)
    panels = figure.subplots(1, len(samplers), sharey=True, squeeze=False)[0]
    records = []
    for axes, sampler in zip(panels, samplers):
        eta = sampler.get("eta")
        axes.set_title(sampler_label(sampler["name"], eta))
        mine = rows[(rows["sampler"] == sampler["name"]) & (rows["eta"].isna() if eta is None else rows["eta"] == eta)]
        if mine.empty:
            style.say_nothing(axes, "No results for this sampler.")
            continue
        records += _draw_panel(context, axes, mine, sorted(sampler["nfe"]))
        records += _draw_anchors(context, axes, sampler)
        axes.set_xlabel("network calls per image (NFE)")
    note = ""
    if records:
        note = _draw_marks(context, panels, rows["value"].to_numpy())
        style.log_ticks(panels[0].yaxis)
        panels[0].set_ylabel(f"{metric_name(context.report['metric'])}, lower is better")
        first_drawn = next(axes for axes in panels if axes.lines)
        style.legend_above(figure, first_drawn)
    one_seed = rows.groupby("arm")["seed"].nunique().eq(1).any() if records else False
    anchors = [f"{anchor['label']}: {anchor['citation']}; {anchor['note']}." for anchor in context.report["anchors"]]
    one_seed_note = "Arms with one seed have no interval." if one_seed else ""
    notes = [note, *(anchors if records else []), one_seed_note, style.missing_note(context, rows)]
    style.footer(context, figure, notes)
    columns = ["sampler", "eta", "nfe", "arm", "kind", "seed", "value", "low", "high"]
    return figure, pd.DataFrame(records, columns=columns)


def _draw_panel(context: ReportContext, axes: Axes, rows: pd.DataFrame, nfes: list[int]) -> list[tuple]:
    axes.set_xscale("log")
    axes.set_yscale("log")
    records = []
    present = [arm for arm in context.arms if (rows["arm"] == arm).any()]
    for index, arm in enumerate(present):
        look = style.arm_style(context, arm)
        # Side by side at each NFE, so that intervals do not hide each other; the CSV holds the true NFE.
        shift = np.exp(style.symmetric_dodge(index, len(present), 0.11))
        groups = sorted(rows[rows["arm"] == arm].groupby("nfe"))
        calls = np.array([nfe for nfe, _ in groups], dtype=float)
        stats = np.array([geometric_interval(group["value"]) for _, group in groups])
        for (nfe, group), (mean, low, high) in zip(groups, stats):
            beside = [nfe * shift * SEED_SHIFT] * len(group)
            axes.plot(beside, group["value"], ls="", marker="o", ms=3.5, mew=0, alpha=0.45, color=look["color"])
            identity = (group["sampler"].iloc[0], group["eta"].iloc[0], int(nfe), arm)
            records += [(*identity, "seed", row.seed, row.value, None, None) for row in group.itertuples()]
            records.append((*identity, "geometric mean", None, mean, low, high))
        errors = np.nan_to_num([stats[:, 0] - stats[:, 1], stats[:, 2] - stats[:, 0]])
        axes.errorbar(
            calls * shift, stats[:, 0], yerr=errors, label=context.label(arm), elinewidth=1.1, capsize=2.5, ms=5, **look
        )
    axes.set_xlim(nfes[0] / 1.25, nfes[-1] * 1.25)
    style.log_ticks(axes.xaxis, nfes)
    return records


def _draw_anchors(context: ReportContext, axes: Axes, sampler: dict[str, Any]) -> list[tuple]:
    """Draw published values for this sampler, thin and grey, where the runs have been evaluated too."""
    records = []
    identity = (sampler["name"], sampler.get("eta"))
    low, high = min(sampler["nfe"]), max(sampler["nfe"])
    for anchor in context.report["anchors"]:
        for curve in anchor["curves"]:
            points = [(nfe, value) for nfe, value in zip(curve["nfe"], curve["values"]) if low <= nfe <= high]
            if (curve["sampler"], curve["eta"]) == identity and points:
                look = {"color": "#888888", "lw": 0.9, "ls": ":", "marker": "D", "ms": 3.5, "mfc": "white"}
                axes.plot(*zip(*points), label=anchor["label"], **look)
                records += [(*identity, nfe, None, anchor["label"], None, value, None, None) for nfe, value in points]
    return records


def _draw_marks(context: ReportContext, panels: list[Axes], values: np.ndarray) -> str:
    """Draw the scale marks near the data as thin lines; name the others in the note."""
    far = []
    for mark in context.scale_marks:
        if not values.min() / MARK_REACH <= mark["value"] <= values.max() * MARK_REACH:
            far.append(f"{mark['label']}: {number(mark['value'], 3)}")
            continue
        for axes in panels:
            if axes.lines:
                axes.axhline(mark["value"], color="#888888", lw=0.9, ls=(0, (4, 3)), zorder=0)
        last = next(axes for axes in reversed(panels) if axes.lines)
        last.annotate(
            textwrap.fill(mark["label"], 20), (1.0, mark["value"]), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=7.5, color=style.MUTED,
        )  # fmt: skip
    return "Off this scale: " + "; ".join(far) + "." if far else ""
