"""Generated images: one row per arm, the same noise in the same column."""

from __future__ import annotations

import hashlib
import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_npz
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext

NUM_COLUMNS = 14
GAP_SHARE = 0.08
LABEL_WIDTH = 18  # letters
COLUMNS = ["arm", "seed", "point", "sample_index", "mean_pixel", "sha256"]


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """The first samples of each arm's first seed at its main point, in order, not selected."""
    report = context.report
    where = "{sampler}, NFE {nfe}".format_map(context.points[report["main_point"]])
    where = where if len({*context.main_points.values()}) == 1 else "each at its main point"
    records, strips = [], {}
    for arm, point in context.main_points.items():
        seed = context.seeds(arm)[0]
        path = context.samples.get((arm, seed, point))
        if path is None:
            continue
        (images,) = read_npz(path, "images")
        if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8:
            raise PipelineError(
                f"{path}: images must be u8 [N, H, W, 1 or 3], got {images.dtype} {images.shape}; sample "
                "again"
            )
        images = images[:NUM_COLUMNS]
        if not len(images):  # of a run that diverged
            continue
        strips[arm] = side_by_side(images)
        records += [
            (arm, seed, point, index, float(image.mean()), hashlib.sha256(image.tobytes()).hexdigest())
            for index, image in enumerate(images)
        ]
    figure = style.new_figure(9.0, 0.58 * max(len(strips), 2) + 0.45)
    if not strips:
        style.say_nothing(figure.subplots(), f"No samples with {where}.")
    else:
        figure.get_layout_engine().set(h_pad=0.03, hspace=0.0)
        panels = figure.subplots(len(strips), 1, squeeze=False)[:, 0]
        for axes, (arm, strip) in zip(panels, strips.items()):
            gray = {"cmap": "gray", "vmin": 0, "vmax": 255} if strip.ndim == 2 else {}
            axes.imshow(strip, interpolation="nearest", resample=False, **gray)
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
            label = textwrap.fill(context.label(arm), LABEL_WIDTH, break_on_hyphens=False)
            axes.set_ylabel(label, rotation=0, ha="right", va="center", labelpad=8)
    absent = [context.label(arm) for arm in context.arms if arm not in strips]
    note = f"First seed of each arm, {where}, samples 0 to {NUM_COLUMNS - 1} in order."
    style.finish(context, figure, [note, f"No samples: {'; '.join(absent)}." if absent else ""])
    return figure, pd.DataFrame(records, columns=COLUMNS)


def side_by_side(images: np.ndarray) -> np.ndarray:
    """Images side by side, `[H, W_total]` or `[H, W_total, 3]`, enlarged by whole pixels to stay sharp."""
    factor = max(1, round(96 / images.shape[1]))
    images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    gap = round(GAP_SHARE * images.shape[2])
    padded = np.pad(images, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=255)
    strip = np.concatenate(padded, axis=1)[:, :-gap]
    return strip[..., 0] if strip.shape[-1] == 1 else strip
