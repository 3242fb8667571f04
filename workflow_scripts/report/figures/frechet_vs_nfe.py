"""Fréchet distance against network calls per image, one panel per sampler."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.direct_labels import MAX_LABELS, Label, arm_labels, label_lines
from workflow_scripts.report.labels import number, sampler_label
from workflow_scripts.report.statistics import geometric_interval
from workflow_scripts.study.reasons import metric_name

# A scale mark is drawn as a line when it lies within this factor of the data; otherwise it would flatten the curves.
MARK_REACH = 2.5
# Seeds stand beside their mean, where its marker does not cover them.
SEED_SHIFT = 1.015
# With more arms than can be named beside the lines, so many of the lowest are named beside the preregistered ones.
NUM_LOWEST = 3
ANCHOR_LOOK = {"color": style.EDGE, "lw": 0.9, "ls": ":", "marker": "D", "mfc": "white"}


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Geometric mean over seeds with its 95 % t interval (both on the logarithm), every seed as a faint point.

    With more than MAX_LABELS arms only some are drawn like that; the others are thin grey lines. The data holds all.
    """
    rows = context.final_rows(context.report["metric"])
    rows = rows[rows["sampler"].notna()]
    undrawn = rows[~(rows["value"] > 0)]  # such a value has no logarithm, and no place on these axes
    rows = rows.drop(undrawn.index)
    samplers = context.report["samplers"]
    named, note = _named_arms(context, rows)
    figure = style.new_figure(max(9.0, 2.6 * len(samplers) + 2.4), 4.4)
    panels = figure.subplots(1, len(samplers), sharey=True, squeeze=False)[0]
    records = []
    for axes, sampler in zip(panels, samplers):
        eta = sampler.get("eta")
        axes.set_title(sampler_label(sampler["name"], eta))
        mine = rows[
            (rows["sampler"] == sampler["name"]) & (rows["eta"].isna() if eta is None else rows["eta"] == eta)
        ]
        if mine.empty:
            style.say_nothing(axes, "No results for this sampler.")
            continue
        records += _draw_panel(context, axes, mine, sorted(sampler["nfe"]), named)
        records += _draw_anchors(context, axes, sampler)
        axes.set_xlabel("network calls per image (NFE)")
    columns = ["sampler", "eta", "nfe", "arm", "kind", "seed", "value", "low", "high"]
    frame = pd.DataFrame(records, columns=columns)
    drawn = [axes for axes in panels if axes.lines]
    marks, off_scale = _draw_marks(context, drawn, rows["value"].to_numpy()) if drawn else ([], "")
    seeds = rows.groupby("arm")["seed"].nunique()
    anchors = [
        f"{anchor['label']}: {anchor['citation']}; {anchor['note']}." for anchor in context.report["anchors"]
    ]
    notes = [
        "Bars: 95 % t intervals of the geometric mean over seeds; faint points: seeds."
        if (seeds > 1).any()
        else "",
        "Arms with one seed have no interval." if (seeds == 1).any() else "",
        note,
        _undrawn_note(context, undrawn),
        off_scale,
        *(anchors if records else []),
        style.missing_note(context, rows),
    ]
    style.footer(context, figure, notes)
    if drawn:
        style.log_ticks(panels[0].yaxis)
        drawn[0].set_ylabel(f"{metric_name(context.report['metric'])}, lower is better")
        label_lines(
            figure, drawn[-1], [*_line_labels(context, frame, samplers, panels, drawn[-1], named), *marks]
        )
    return figure, frame


def _named_arms(context: ReportContext, rows: pd.DataFrame) -> tuple[list[str], str]:
    """Arms that are drawn in their colour and named, and a note that says which; every arm where there is room for all."""
    present = [arm for arm in context.arms if (rows["arm"] == arm).any()]
    if len(present) <= MAX_LABELS:
        return present, ""
    confirmatory = [
        item for item in (context.verdict or {}).get("hypotheses", []) if item["role"] == "confirmatory"
    ]
    compared = dict.fromkeys(item[side] for item in confirmatory for side in ("comparator", "arm"))
    main = rows[
        (rows["sampler"] == context.report["main_sampler"]) & (rows["nfe"] == context.report["main_nfe"])
    ]
    means = np.log(main["value"]).groupby(main["arm"]).mean()
    lowest = sorted(
        (arm for arm in present if arm in means.index), key=lambda arm: (means[arm], present.index(arm))
    )[:NUM_LOWEST]
    # The lowest keep their places where even the preregistered comparisons are more than can be named.
    room = MAX_LABELS - len(lowest)
    chosen = {*[arm for arm in compared if arm in present and arm not in lowest][:room], *lowest}
    some = ", as far as there is room," if len(chosen) == MAX_LABELS else ""
    point = f"{sampler_label(context.report['main_sampler'])}, NFE {context.report['main_nfe']}"
    return [arm for arm in present if arm in chosen], (
        f"Named are {len(chosen)} of {len(present)} arms: those of the preregistered comparisons{some} and the {len(lowest)} "
        f"lowest at {point}, which is a choice made after the results and no test. The others are thin grey lines without "
        "intervals; table and plotted data name them."
    )


def _undrawn_note(context: ReportContext, rows: pd.DataFrame) -> str:
    listed = [
        f"{context.label(row.arm)} seed {row.seed}, {row.sampler} NFE {row.nfe}: {number(row.value, 3)}"
        for row in rows.itertuples()
    ]
    return f"Not positive, hence not drawn: {'; '.join(listed)}." if listed else ""


def _line_labels(
    context: ReportContext,
    frame: pd.DataFrame,
    samplers: list[dict[str, Any]],
    panels: Any,
    labelled: Axes,
    named: list[str],
) -> list[Label]:
    """Names of arms and of published curves, at the height where they end in the labelled panel."""
    sampler = next(sampler for sampler, axes in zip(samplers, panels) if axes is labelled)
    eta = sampler.get("eta")
    here = frame[
        (frame["sampler"] == sampler["name"]) & (frame["eta"].isna() if eta is None else frame["eta"] == eta)
    ]
    means = here[here["kind"] == "geometric mean"].sort_values("nfe").groupby("arm")["value"].last().to_dict()
    labels = arm_labels(context, means, [arm for arm in named if (frame["arm"] == arm).any()])
    for anchor in context.report["anchors"]:
        published = here[here["kind"] == anchor["label"]].sort_values("nfe")["value"]
        if (frame["kind"] == anchor["label"]).any():
            labels.append(
                Label(
                    anchor["label"], published.iloc[-1] if len(published) else None, ANCHOR_LOOK, style.MUTED
                )
            )
    return labels


def _draw_panel(
    context: ReportContext, axes: Axes, rows: pd.DataFrame, nfes: list[int], named: list[str]
) -> list[tuple]:
    axes.set_xscale("log")
    axes.set_yscale("log")
    records = []
    present = [arm for arm in context.arms if (rows["arm"] == arm).any()]
    colored = [arm for arm in present if arm in named]
    for arm in present:
        look = style.arm_style(context, arm)
        # Side by side at each NFE, so that intervals do not hide each other; the CSV holds the true NFE.
        shift = (
            np.exp(style.symmetric_dodge(colored.index(arm), len(colored), 0.11)) if arm in colored else 1.0
        )
        groups = sorted(rows[rows["arm"] == arm].groupby("nfe"))
        calls = np.array([nfe for nfe, _ in groups], dtype=float)
        stats = np.array([geometric_interval(group["value"]) for _, group in groups])
        for (nfe, group), (mean, low, high) in zip(groups, stats):
            beside = [nfe * shift * SEED_SHIFT] * len(group)
            if arm in colored:
                axes.plot(
                    beside, group["value"], ls="", marker="o", ms=3.5, mew=0, alpha=0.45, color=look["color"]
                )
            identity = (group["sampler"].iloc[0], group["eta"].iloc[0], int(nfe), arm)
            records += [(*identity, "seed", row.seed, row.value, None, None) for row in group.itertuples()]
            records.append((*identity, "geometric mean", None, mean, low, high))
        if arm not in colored:
            axes.plot(
                calls, stats[:, 0], color=style.EDGE, lw=0.6, alpha=0.6, marker=".", ms=3, mew=0, zorder=1
            )
            continue
        errors = np.nan_to_num([stats[:, 0] - stats[:, 1], stats[:, 2] - stats[:, 0]])
        axes.errorbar(calls * shift, stats[:, 0], yerr=errors, elinewidth=1.1, capsize=2.5, ms=5, **look)
    axes.set_xlim(nfes[0] / 1.25, nfes[-1] * 1.25)
    style.log_ticks(axes.xaxis, style.readable_ticks(nfes, *axes.get_xlim()))
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
                axes.plot(*zip(*points), ms=3.5, **ANCHOR_LOOK)
                records += [
                    (*identity, nfe, None, anchor["label"], None, value, None, None) for nfe, value in points
                ]
    return records


def _draw_marks(context: ReportContext, drawn: list[Axes], values: np.ndarray) -> tuple[list[Label], str]:
    """Draw the scale marks near the data as thin lines; returns their labels, and a note that names the others."""
    labels, far = [], []
    for mark in context.scale_marks:
        if not values.min() / MARK_REACH <= mark["value"] <= values.max() * MARK_REACH:
            far.append(f"{mark['label']}: {number(mark['value'], 3)}")
            continue
        for axes in drawn:
            axes.axhline(mark["value"], color=style.EDGE, lw=0.9, ls=(0, (4, 3)), zorder=0)
        labels.append(Label(mark["label"], mark["value"], color=style.MUTED, size=7.5))
    return labels, "Off this scale: " + "; ".join(far) + "." if far else ""
