"""Generated images: one row per arm, the same noise in the same column."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_npz
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext

NUM_COLUMNS = 14
GAP_SHARE = 0.08
LABEL_WIDTH = 22  # letters


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """The first samples of each arm's first seed with the main sampler and NFE; nothing is picked by eye."""
    report = context.report
    seed, wanted = report["seeds"][0], (report["main_sampler"], report["main_nfe"])
    present, records, strips = [], [], []
    for arm in context.arms:
        path = context.samples.get((arm, seed, *wanted))
        if path is None:
            continue
        (images,) = read_npz(path, "images")
        if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8:
            raise PipelineError(
                f"{path}: images must be u8 [N, H, W, 1 or 3], got {images.dtype} {images.shape}; sample again"
            )
        images = images[:NUM_COLUMNS]
        present.append(arm)
        strips.append(_strip(images))
        records += [
            (arm, seed, *wanted, index, float(image.mean()), hashlib.sha256(image.tobytes()).hexdigest())
            for index, image in enumerate(images)
        ]
    figure = style.new_figure(9.0, 0.58 * max(len(present), 2) + 0.45)
    if not present:
        style.say_nothing(figure.subplots(), f"No samples of seed {seed} with {wanted[0]}, NFE {wanted[1]}.")
    else:
        figure.get_layout_engine().set(h_pad=0.03, hspace=0.0)
        panels = figure.subplots(len(present), 1, squeeze=False)[:, 0]
        for axes, arm, strip in zip(panels, present, strips):
            gray = {"cmap": "gray", "vmin": 0, "vmax": 255} if strip.ndim == 2 else {}
            axes.imshow(strip, interpolation="nearest", resample=False, **gray)
            axes.set_yticks([])
            axes.set_xticks([])
            axes.grid(False)
            for spine in axes.spines.values():
                spine.set_visible(False)
            axes.set_ylabel(
                style.balanced(context.label(arm), LABEL_WIDTH),
                rotation=0,
                ha="right",
                va="center",
                labelpad=8,
            )
    absent = [context.label(arm) for arm in context.arms if arm not in present]
    note = f"Seed {seed}, {wanted[0]}, NFE {wanted[1]}, samples 0 to {NUM_COLUMNS - 1} in order."
    style.footer(context, figure, [note, f"No samples: {'; '.join(absent)}." if absent else ""])
    columns = ["arm", "seed", "sampler", "nfe", "sample_index", "mean_pixel", "sha256"]
    return figure, pd.DataFrame(records, columns=columns)


def _strip(images: np.ndarray) -> np.ndarray:
    """Images side by side on white, `[H, W_total]` or `[H, W_total, 3]`, enlarged by whole pixels to stay sharp."""
    factor = max(1, round(96 / images.shape[1]))
    images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    gap = np.full((images.shape[1], round(GAP_SHARE * images.shape[2]), images.shape[3]), 255, dtype=np.uint8)
    parts = [part for image in images for part in (image, gap)][:-1]
    strip = np.concatenate(parts, axis=1)
    return strip[..., 0] if strip.shape[-1] == 1 else strip
