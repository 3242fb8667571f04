"""The report's figures: one module each with `draw(context) -> (Figure, DataFrame of the plotted data)`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.report.figure_list import FIGURES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from workflow_scripts.report.context import ReportContext


def draw(name: str, context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Draw the figure called `name`; PipelineError for an unknown name.

    Each module is loaded by name instead of imported, so that a change of one figure draws only that one
    again (the setting `loads` of its rule names the module; see provenance/source_closure.py).
    """
    if name not in FIGURES:
        raise PipelineError(f"unknown figure {name!r}; known are {', '.join(FIGURES)}")
    return importlib.import_module(f"{__name__}.{name}").draw(context)
