"""The report's figures: one module each with `draw(context) -> (Figure, DataFrame of the plotted data)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.report.figures import (
    curvature_vs_frechet,
    curvature_vs_step,
    frechet_vs_nfe,
    hypotheses,
    sample_grid,
    snr_and_weights,
    timestep_mse,
    training_curves,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from workflow_scripts.report.context import ReportContext

DRAW = {
    "curvature_vs_frechet": curvature_vs_frechet.draw,
    "curvature_vs_step": curvature_vs_step.draw,
    "frechet_vs_nfe": frechet_vs_nfe.draw,
    "hypotheses": hypotheses.draw,
    "sample_grid": sample_grid.draw,
    "snr_and_weights": snr_and_weights.draw,
    "timestep_mse": timestep_mse.draw,
    "training_curves": training_curves.draw,
}


def draw(name: str, context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Draw the figure called `name`; PipelineError for a name that does not exist."""
    if name not in DRAW:
        raise PipelineError(f"unknown figure {name!r}; known are {', '.join(DRAW)}")
    return DRAW[name](context)
