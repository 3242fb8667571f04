"""Names beside the lines instead of a legend: at the height where a line ends, moved apart where they would overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from workflow_scripts.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from workflow_scripts.report.context import ReportContext

# More labels than these are no help beside the lines; a legend above the panels takes over.
MAX_LABELS = 14
WRAP = 24
LINE_HEIGHT, GAP = 1.28, 3.0  # of the font size; points between labels
# Inches from the axes to the end of the leader, to the sample of the line, and to the text.
LEADER, SAMPLE, SAMPLE_END, TEXT_START = 0.03, 0.14, 0.36, 0.42


@dataclass(frozen=True)
class Label:
    """A text for something at height `y` (data) of a panel, None when it is not in that panel; `look` draws a sample."""

    text: str
    y: float | None
    look: dict[str, Any] = field(default_factory=dict)
    color: str = style.TEXT
    size: float = 9.0

    @property
    def lines(self) -> str:
        """The text, broken to the width of the column."""
        return style.balanced(self.text, WRAP)

    @property
    def height(self) -> float:
        """Points that the label takes, with the gap to the next."""
        return LINE_HEIGHT * self.size * (1 + self.lines.count("\n")) + GAP


def arm_labels(context: ReportContext, heights: dict[str, float], arms: Sequence[str]) -> list[Label]:
    """A label for each arm in `arms`, at the height where its line ends (absent: not in the labelled panel)."""
    return [Label(context.label(arm), heights.get(arm), style.arm_style(context, arm)) for arm in arms]


def label_lines(figure: Figure, axes: Axes, labels: Sequence[Label], leaders: bool = True) -> None:
    """Write the labels to the right of `axes`, without overlap, in the order of their heights; call it last.

    A thin leader joins a label to its height. The figure grows where the labels need more than the panel's height. More
    than MAX_LABELS become a legend above the panels; labels without a sample stay.
    """
    if len(labels) > MAX_LABELS:
        _legend_above(figure, [label for label in labels if label.look])
        labels = [label for label in labels if not label.look]
    if not labels:
        return
    needed = sum(label.height for label in labels)
    figure.draw_without_rendering()  # the layout decides how high the panel is
    room = _height(axes)
    if needed > room:
        figure.set_figheight(figure.get_figheight() + (needed - room) / 72)
        figure.draw_without_rendering()
        room = _height(axes)
    heights = [_share_of_axes(axes, label.y) for label in labels]
    placed = spread(
        [-math.inf if height is None else height * room for height in heights],
        [label.height for label in labels],
        room,
    )
    inches = figure.dpi_scale_trans + ScaledTranslation(1, 0, axes.transAxes)
    beside = blended_transform_factory(inches, axes.transAxes)
    for label, height, center in zip(labels, heights, placed):
        y = center / room
        if leaders and height is not None:
            _line(
                axes,
                [LEADER, SAMPLE - 0.03],
                [height, y],
                beside,
                color=label.look.get("color", style.EDGE),
                lw=0.7,
            )
        start = TEXT_START if label.look else SAMPLE
        if label.look:
            _line(
                axes,
                [SAMPLE, (SAMPLE + SAMPLE_END) / 2, SAMPLE_END],
                [y] * 3,
                beside,
                ms=5,
                markevery=[1],
                **label.look,
            )
        axes.text(
            start,
            y,
            label.lines,
            transform=beside,
            va="center",
            fontsize=label.size,
            color=label.color,
            linespacing=1.15,
        )


def spread(wanted: Sequence[float], heights: Sequence[float], room: float) -> list[float]:
    """Centres near the wanted ones for boxes of the given heights that neither overlap nor, if they fit, leave [0, room].

    Boxes keep the order of what they want. Each run of boxes that would overlap is centred on what it wants on average,
    which moves them as little as possible in the sum of squares. -inf means anywhere: below all others.
    """
    order = sorted(range(len(wanted)), key=lambda index: (wanted[index], -index))
    blocks: list[list[Any]] = []  # [boxes, sum of wanted first centres, height]
    for index in order:
        aim = 0.0 if wanted[index] == -math.inf else wanted[index]
        blocks.append([[index], aim - heights[index] / 2, heights[index]])
        while len(blocks) > 1 and _bottom(blocks[-2], room) + blocks[-2][2] > _bottom(blocks[-1], room):
            boxes, aims, height = blocks.pop()
            below = blocks[-1]
            below[1] += aims - len(boxes) * below[2]
            below[0] += boxes
            below[2] += height
    centres = [0.0] * len(wanted)
    for block in blocks:
        bottom = _bottom(block, room)
        for index in block[0]:
            centres[index] = bottom + heights[index] / 2
            bottom += heights[index]
    return centres


def _bottom(block: list[Any], room: float) -> float:
    """Where a block of touching boxes begins: the mean of what its boxes want, kept inside the room."""
    boxes, aims, height = block
    return max(0.0, min(aims / len(boxes), room - height))


def _height(axes: Axes) -> float:
    return axes.get_window_extent().height / axes.figure.dpi * 72


def _share_of_axes(axes: Axes, y: float | None) -> float | None:
    if y is None or not np.isfinite(y):
        return None
    x = axes.get_xlim()[1]
    return float(axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[1])


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], transform: Any, **look: Any) -> None:
    line = Line2D(x, y, transform=transform, clip_on=False, solid_capstyle="butt", **look)
    axes.add_artist(line)


def _legend_above(figure: Figure, labels: Sequence[Label]) -> None:
    """One legend for the whole figure, which grows by the legend's height so that the panels keep theirs."""
    longest = max(len(label.text) for label in labels)
    columns = max(1, int(figure.get_figwidth() * 72 / (5.4 * longest + 44)))
    handles = [Line2D([], [], ms=5, **label.look) for label in labels]
    figure.set_figheight(figure.get_figheight() + math.ceil(len(handles) / columns) * 0.185 + 0.1)
    figure.legend(handles, [label.text for label in labels], loc="outside upper left", ncols=columns)
