"""The figures of the report: one module each with `draw(context) -> (Figure, DataFrame of the plotted data)`.

This file imports no plotting library, since planning reads the list.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

from workflow_scripts.core.errors import PipelineError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from workflow_scripts.report.context import ReportContext


class FigureInfo(NamedTuple):
    """Titles and alt text; `section` is the heading in report.html and in Snakemake's own report.

    A figure of one `metric` is drawn only for studies that list it, and one `of_section` for those with a
    section that names it in FIGURES.
    """

    section: str
    title: str
    alt: str
    metric: str | None = None
    of_section: bool = False


FIGURES = {
    "hypotheses": FigureInfo(
        "Hypotheses",
        "Hypotheses",
        "Forest plot: one row per hypothesis with the estimated relative change, its interval "
        "and the threshold band.",
    ),
    "snr_and_weights": FigureInfo(
        "Loss weights",
        "Signal-to-noise ratio and loss weight",
        "Two line charts over the diffusion timestep: the signal-to-noise ratio of each noise schedule, "
        "and the loss weight of each arm.",
    ),
    "frechet_vs_nfe": FigureInfo(
        "Fréchet distance and network calls",
        "Fréchet distance against network calls",
        "Line charts, one panel per sampler: Fréchet distance against the number of network calls per image, "
        "one line per arm with intervals over seeds.",
        "frechet_distance",
    ),
    "sample_grid": FigureInfo(
        "Samples",
        "Samples",
        "Grid of generated images: one row per arm; the images in a column start from the same noise.",
    ),
    "training_curves": FigureInfo(
        "Training",
        "Training curves",
        "Three line charts over training steps: the arm's own loss, the unweighted squared error, "
        "the gradient norm.",
    ),
    "frechet_vs_step": FigureInfo(
        "Training",
        "Fréchet distance during training",
        "Line chart over training steps: Fréchet distance of images from each checkpoint, one line per arm "
        "with the range over seeds.",
        "frechet_by_step",
    ),
    "loss_by_epoch": FigureInfo(
        "Training",
        "Error by epoch",
        "Line chart over epochs: the squared error of the predicted noise of each arm, with those of the "
        "best linear denoiser and of predicting zero.",
        of_section=True,
    ),
    "noise_schedules": FigureInfo(
        "Noise schedules",
        "Noise schedules",
        "Two line charts over the diffusion timestep: the share of the image's variance that each schedule "
        "leaves, and its signal-to-noise ratio.",
        of_section=True,
    ),
    "class_grid": FigureInfo(
        "Classes",
        "Samples by class",
        "Grid of generated images: one block of rows per arm, one column per class.",
        of_section=True,
    ),
    "class_histogram": FigureInfo(
        "Classes",
        "Classes of the samples",
        "Line chart over classes: how often a classifier sees each class among samples, as a ratio to its "
        "share of the real images, one line per arm with the range over seeds.",
        of_section=True,
    ),
    "timestep_mse": FigureInfo(
        "Training",
        "Error per timestep",
        "Two line charts over the diffusion timestep: the noise prediction error of each arm, "
        "and its ratio to the baseline.",
        "curvature",
    ),
    "curvature_vs_step": FigureInfo(
        "Curvature",
        "Curvature during training",
        "Three line charts over training steps: Hessian trace on the common objective, "
        "Hessian trace on the arm's own objective, and the largest eigenvalue on the common objective.",
        "curvature",
    ),
    "curvature_vs_frechet": FigureInfo(
        "Curvature",
        "Curvature against Fréchet distance",
        "Scatter plot of the Fréchet distance against the Hessian trace, one point per run, coloured by arm.",
        "curvature",
    ),
}


def draw(name: str, context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Draw the figure called `name`; PipelineError for an unknown name.

    Each module is loaded by name instead of imported, so that a change of one figure draws only that one
    again (the setting `loads` of its rule names the module; see provenance/source_closure.py).
    """
    if name not in FIGURES:
        raise PipelineError(f"unknown figure {name!r}; known are {', '.join(FIGURES)}")
    return importlib.import_module(f"{__name__}.{name}").draw(context)
