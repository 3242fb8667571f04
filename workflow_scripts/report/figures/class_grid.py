"""Generated images by class: the same classes in the same columns for all arms of classes."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.core.files import read_npz_dict
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.figures.sample_grid import GAP_SHARE, LABEL_WIDTH, side_by_side

MAX_CLASSES, NUM_ROWS = 10, 3
COLUMNS = ["arm", "seed", "point", "sample_index", "label", "mean_pixel"]


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """The first samples of each class, of each arm's first seed at its main point, not selected."""
    blocks, records = {}, []
    for arm, point in context.main_points.items():
        seed = context.seeds(arm)[0]
        path = context.samples.get((arm, seed, point))
        arrays = {} if path is None else read_npz_dict(path)
        if not len(arrays.get("labels", ())):  # without classes, or of a run that diverged
            continue
        images, labels = arrays["images"], arrays["labels"]
        classes = np.unique(labels)[:MAX_CLASSES]
        each = min(NUM_ROWS, *(np.count_nonzero(labels == label) for label in classes))
        chosen = np.array([np.flatnonzero(labels == label)[:each] for label in classes]).T
        rows = [_with_a_gap(side_by_side(images[row])) for row in chosen]
        blocks[arm] = (np.concatenate(rows), classes)
        records += [(arm, seed, point, i, labels[i], float(images[i].mean())) for i in chosen.ravel()]
    figure = style.new_figure(7.2, 1.5 * max(len(blocks), 2) + 0.4)
    if not blocks:
        style.say_nothing(figure.subplots(), "No samples of classes.")
    else:
        panels = figure.subplots(len(blocks), 1, squeeze=False)[:, 0]
        for axes, (arm, (grid, classes)) in zip(panels, blocks.items()):
            gray = {"cmap": "gray", "vmin": 0, "vmax": 255} if grid.ndim == 2 else {}
            axes.imshow(grid, interpolation="nearest", resample=False, **gray)
            middles = (np.arange(len(classes)) + 0.5) * grid.shape[1] / len(classes)
            axes.set_xticks(middles, [str(label) for label in classes])
            axes.set_yticks([])
            axes.grid(False)
            axes.spines[:].set_visible(False)
            label = textwrap.fill(context.label(arm), LABEL_WIDTH, break_on_hyphens=False)
            axes.set_ylabel(label, rotation=0, ha="right", va="center", labelpad=8)
    note = f"First seed of each arm at its main point; the first {NUM_ROWS} samples of each class."
    style.finish(context, figure, [note])
    return figure, pd.DataFrame(records, columns=COLUMNS)


def _with_a_gap(row: np.ndarray) -> np.ndarray:
    """A row of images with a white line below it."""
    gap = round(GAP_SHARE * len(row))
    return np.pad(row, ((0, gap), *[(0, 0)] * (row.ndim - 1)), constant_values=255)
