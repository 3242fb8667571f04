"""What all figures share: colours, ticks, legend, notes, and files that are byte-identical when redrawn."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterable
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

# The palette of Okabe and Ito, safe for all common kinds of colour blindness; without yellow, which vanishes
# on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINE_STYLES = ("-", "--", ":", "-.")
# Darker than the palette because small bold words are written in them (contrast of at least 4.5 : 1 on
# white).
OUTCOME_COLORS = {"better": "#00745A", "worse": "#B84A00", "neutral": "#0062A0", "inconclusive": "#555555"}
OUTCOME_COLORS |= {"held": OUTCOME_COLORS["better"], "failed": OUTCOME_COLORS["worse"]}
TEXT, MUTED, EDGE, GRID, BAND = "#262626", "#666666", "#888888", "#e4e4e4", "#ececec"
DPI = 160
# Smallest distance of two labelled ticks, as a share of the axis.
MIN_TICK_GAP = 0.075
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# On top of seaborn's whitegrid for paper. DejaVu Sans comes with matplotlib, so text is the same everywhere.
SETTINGS = {
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": EDGE,
    "grid.color": GRID,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "workflow_scripts.report",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # labels come from configuration, where a dollar sign is a dollar sign
}


def new_figure(width: float = 9.0, height: float = 4.0) -> Figure:
    """Create an empty figure (inches) in the common style.

    It uses no pyplot, so figures share no state, and ignores the user's matplotlibrc, so it looks the same
    everywhere.
    """
    matplotlib.rcdefaults()
    seaborn.set_theme(context="paper", style="whitegrid", palette=PALETTE, rc=SETTINGS)
    return Figure(figsize=(width, height), layout="constrained")


def arm_style(context: ReportContext, arm: str) -> dict[str, Any]:
    """Colour, marker and line style of an arm, which follow from its `look` and are equal in all figures."""
    round_number, index = divmod(context.arm(arm)["look"] - 1, len(PALETTE))
    return {
        "color": PALETTE[index],
        "marker": MARKERS[(index + round_number) % len(MARKERS)],
        "linestyle": LINE_STYLES[round_number % len(LINE_STYLES)],
    }


def over_seeds(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Mean, lowest and highest `value` and number of seeds of each group."""
    groups = frame.groupby(by)["value"]
    return groups.agg(mean="mean", low="min", high="max", num_seeds="count").reset_index()


def draw_bands(axes: Axes, context: ReportContext, frame: pd.DataFrame, x: str, **look: Any) -> None:
    """Draw one line (mean) and band (low to high) per arm from what `over_seeds` returned."""
    for arm in context.arms:
        mine = frame[frame["arm"] == arm]
        if not mine.empty:
            arm_look = {**arm_style(context, arm), "lw": 1.5, **look}
            axes.plot(mine[x], mine["mean"], label=context.label(arm), **arm_look)
            axes.fill_between(mine[x], mine["low"], mine["high"], color=arm_look["color"], alpha=0.15, lw=0)


def symmetric_dodge(index: int, count: int, width: float) -> float:
    """Offset in [-width / 2, width / 2] that keeps `count` neighbours apart."""
    return 0.0 if count < 2 else width * (index / (count - 1) - 0.5)


def log_ticks(axis: Any, ticks: Iterable[float] | None = None) -> None:
    """Write plain numbers on a logarithmic axis; call it after drawing.

    Of the given `ticks` those are labelled that have room; without them the range decides.
    """
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    if ticks is not None:
        kept: list[float] = []
        for tick in sorted(ticks):
            if not kept or math.log10(tick / kept[-1]) >= MIN_TICK_GAP * decades:
                kept.append(tick)
        axis.set_major_locator(FixedLocator(kept))
    elif decades < 1:
        axis.set_major_locator(MaxNLocator(6))
    else:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 3 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(_power_of_ten if decades >= 3 else lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())


def _power_of_ten(value: float, _: int) -> str:
    return "10" + str(round(math.log10(value))).translate(SUPERSCRIPTS)


def step_ticks(axes: Axes) -> None:
    """Label the x axis with a few whole training steps."""
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("training step")


def say_nothing(axes: Axes, message: str) -> None:
    """Write into an empty panel why it is empty."""
    axes.set_axis_off()
    text = textwrap.fill(message, 44)
    axes.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=axes.transAxes)


def finish(context: ReportContext, figure: Figure, notes: Iterable[str]) -> None:
    """Add the legend, and below the figure the notes and whether it shows a rehearsal."""
    _add_legend(context, figure)
    lines = [line for note in notes if note for line in textwrap.wrap(note, 128)]
    if context.report["rehearsal"]:
        first_sentence = rehearsal_line(context.report).split(".")[0]
        lines.append(f"{first_sentence}; shown is the preset {context.report['preset']}.")
    if lines:
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=8, color=MUTED)


def _add_legend(context: ReportContext, figure: Figure) -> None:
    """Put one legend above all panels, arms first; the figure grows by its height."""
    handles = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    if not handles:
        return
    order = [context.label(arm) for arm in context.arms]
    # The label of a line that several arms share begins with the first of them.
    labels = sorted(handles, key=lambda label: [not label.startswith(name) for name in order])
    points_per_column = 5.4 * max(map(len, labels)) + 44
    columns = max(1, int(figure.get_figwidth() * 72 / points_per_column))
    figure.set_figheight(figure.get_figheight() + math.ceil(len(labels) / columns) * 0.185 + 0.1)
    figure.legend([handles[label] for label in labels], labels, loc="outside upper left", ncols=columns)


def missing_note(context: ReportContext, frame: pd.DataFrame) -> str:
    """Name the arms without data in `frame` (columns arm, seed), and those with fewer seeds than planned."""
    seeds = {arm: set(frame.loc[frame["arm"] == arm, "seed"]) for arm in context.arms}
    absent = [context.label(arm) for arm in context.arms if not seeds[arm]]
    partial = [
        f"{context.label(arm)} ({len(seeds[arm])} of {len(context.seeds(arm))} seeds)"
        for arm in context.arms
        if seeds[arm] and not set(context.seeds(arm)) <= seeds[arm]
    ]
    parts = ["No data: " + "; ".join(absent) + "."] if absent else []
    parts += ["Incomplete: " + "; ".join(partial) + "."] if partial else []
    return " ".join(parts)


def save_figure(
    figure: Figure, frame: pd.DataFrame, svg: Path, png: Path, data: Path, identity: str | None = None
) -> None:
    """Write SVG, PNG and the plotted data as CSV; the bytes depend on content and `identity` only.

    `identity` names the run that the figure belongs to; `provenance/figure_identity.py` reads it from the
    file.
    """
    for path, kind, metadata in (
        (svg, "svg", {"Date": None, "Creator": None, "Description": identity}),
        (png, "png", {"Software": None, **({"provenance": identity} if identity else {})}),
    ):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata, bbox_inches="tight", pad_inches=0.1)
        write_bytes(path, buffer.getvalue())
    write_text(data, frame.to_csv(index=False, lineterminator="\n"))
