"""One look for every figure, one colour per arm, and files that are byte-identical when drawn again."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from workflow_scripts.core.files import write_bytes, write_text
from workflow_scripts.report.labels import rehearsal_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from workflow_scripts.report.context import ReportContext

# Okabe and Ito's palette, told apart with every common colour blindness; yellow is left out, it vanishes on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINE_STYLES = ("-", "--", ":", "-.")
# Darker than the palette: small bold words are written in them (at least 4.5 : 1 on white).
OUTCOME_COLORS = {"better": "#00745A", "worse": "#B84A00", "neutral": "#0062A0", "inconclusive": "#555555"}
# Everything that is not data is drawn in these greys, so that a page can turn them round for a dark ground.
TEXT, MUTED, EDGE, GRID, BAND = "#262626", "#666666", "#888888", "#e4e4e4", "#ececec"
DPI = 160
# Share of an axis that the label of a tick needs.
MIN_TICK_GAP = 0.075
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# On top of seaborn's whitegrid.
SETTINGS = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": EDGE,
    "axes.facecolor": "none",
    "axes.labelcolor": TEXT,
    "text.color": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "workflow_scripts.report",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # labels come from configuration, where a dollar sign is a dollar sign
}


def new_figure(width: float = 9.0, height: float = 4.0) -> Figure:
    """An empty figure (inches) in the common style; no pyplot, so nothing is shared between figures.

    What a user's matplotlibrc says is put aside: a figure must not depend on who draws it.
    """
    matplotlib.rcdefaults()
    seaborn.set_theme(context="paper", style="whitegrid", palette=PALETTE, rc=SETTINGS)
    return Figure(figsize=(width, height), layout="constrained")


def arm_style(context: ReportContext, arm: str) -> dict[str, Any]:
    """Colour, marker and line style of an arm: by the look its study gives it, hence the same in every figure and preset."""
    round_number, index = divmod(context.arm(arm)["look"] - 1, len(PALETTE))
    return {
        "color": PALETTE[index],
        "marker": MARKERS[(index + round_number) % len(MARKERS)],
        "linestyle": LINE_STYLES[round_number % len(LINE_STYLES)],
    }


def log_ticks(axis: Any, ticks: Iterable[float] | None = None) -> None:
    """Plain numbers on a logarithmic axis: at the given ticks, or as many as suit its range. Call after drawing."""
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    if ticks is not None:
        locator = FixedLocator(list(ticks))
    elif decades < 1:
        locator = FixedLocator(
            [tick for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high]
        )
    else:
        locator = LogLocator(subs=(1.0, 2.0, 5.0) if decades < 3 else (1.0,))
    axis.set_major_locator(locator)
    axis.set_major_formatter(FuncFormatter(_power_of_ten if decades >= 3 else lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())


def _power_of_ten(value: float, _: int) -> str:
    return "10" + str(round(math.log10(value))).translate(SUPERSCRIPTS)


def symmetric_dodge(index: int, count: int, width: float) -> float:
    """Offset in [-width / 2, width / 2] that keeps `count` neighbours apart."""
    return 0.0 if count < 2 else width * (index / (count - 1) - 0.5)


def readable_ticks(ticks: Sequence[float], low: float, high: float) -> list[float]:
    """The ticks of a logarithmic axis from `low` to `high` that leave their neighbours room, the first one always."""
    kept: list[float] = []
    for tick in sorted(ticks):
        if not kept or math.log(tick / kept[-1]) >= MIN_TICK_GAP * math.log(high / low):
            kept.append(tick)
    return kept


def balanced(text: str, width: int) -> str:
    """The text broken into as few lines of at most `width` letters as it needs, all about equally long."""
    lines = textwrap.wrap(text, width)
    for narrower in range(width - 1, 0, -1):
        shorter = textwrap.wrap(text, narrower)
        if len(shorter) > len(lines):
            break
        lines = shorter
    return "\n".join(lines)


def say_nothing(axes: Axes, message: str) -> None:
    """Write into an empty panel why it is empty."""
    axes.set_axis_off()
    text = "\n".join(textwrap.wrap(message, 44))
    axes.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=axes.transAxes)


def footer(context: ReportContext, figure: Figure, notes: Iterable[str]) -> None:
    """Notes under the figure: what is missing, and the rehearsal mark."""
    lines = [line for note in notes if note for line in textwrap.wrap(note, 128)]
    if context.report["rehearsal"]:
        lines.append(
            rehearsal_line(context.report).split(".")[0]
            + f"; shown is the preset {context.report['preset']}."
        )
    if lines:
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=8, color=MUTED)


def missing_note(context: ReportContext, frame: pd.DataFrame) -> str:
    """Which arms have no data in `frame` (columns arm, seed) and which have fewer seeds than planned."""
    seeds = {arm: set(frame.loc[frame["arm"] == arm, "seed"]) for arm in context.arms}
    absent = [context.label(arm) for arm in context.arms if not seeds[arm]]
    planned = set(context.report["seeds"])
    partial = [
        f"{context.label(arm)} ({len(seeds[arm])} of {len(planned)} seeds)"
        for arm in context.arms
        if seeds[arm] and not planned <= seeds[arm]
    ]
    parts = ["No data: " + "; ".join(absent) + "."] if absent else []
    parts += ["Incomplete: " + "; ".join(partial) + "."] if partial else []
    return " ".join(parts)


def save_figure(
    figure: Figure, frame: pd.DataFrame, svg: Path, png: Path, data: Path, identity: str | None = None
) -> None:
    """Write the figure as SVG and PNG and its plotted data as CSV; the bytes depend on the content and `identity` only.

    `identity` says which run the figure belongs to. It goes inside the file, where `provenance/figure_identity.py` reads it.
    """
    for path, kind, metadata in (
        (svg, "svg", {"Date": None, "Creator": None, "Description": identity}),
        (png, "png", {"Software": None, **({"provenance": identity} if identity else {})}),
    ):
        buffer = io.BytesIO()
        # A page gives an SVG its ground, light or dark; a PNG brings its own.
        ground = "none" if kind == "svg" else "white"
        figure.savefig(
            buffer,
            format=kind,
            dpi=DPI,
            metadata=metadata,
            facecolor=ground,
            bbox_inches="tight",
            pad_inches=0.1,
        )
        write_bytes(path, buffer.getvalue())
    write_text(data, frame.to_csv(index=False, lineterminator="\n"))
