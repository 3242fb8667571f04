"""What the notebook templates show. They hold no analysis; everything is computed here or in the figures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import Image, Markdown

from workflow_scripts.report import interpretation, tables
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.report.figures import draw
from workflow_scripts.report.sourced_numbers import plain


def open_results(report: dict[str, Any], inputs: Mapping[str, Sequence[str]]) -> ReportContext:
    """The results that the renderer handed over."""
    return ReportContext.load(
        report, {name: [Path(path) for path in paths] for name, paths in inputs.items()}
    )


def show_answer(context: ReportContext) -> Markdown:
    """The study's outcome in one sentence."""
    return Markdown(plain(interpretation.answer(context.report, context.verdict)))


def show_hypotheses(context: ReportContext) -> Markdown:
    """Every hypothesis with threshold, change, interval and outcome."""
    return Markdown(tables.as_markdown(tables.hypothesis_table(context.report, context.verdict)))


def show_main_result(context: ReportContext) -> Markdown:
    """The main metric for every arm and seed."""
    return Markdown(tables.as_markdown(tables.main_result_table(context)))


def show_curvature(context: ReportContext) -> Markdown:
    """Curvature of every arm at the last checkpoint."""
    return Markdown(tables.as_markdown(tables.curvature_table(context)))


def seed_pairs(context: ReportContext) -> pd.DataFrame:
    """Arm and comparator of every hypothesis, seed by seed: what the verdict is computed from."""
    return pd.DataFrame(
        [
            {"hypothesis": item["id"], **seed}
            for item in context.verdict["hypotheses"]
            for seed in item["seeds"]
        ]
    )


def show_figure(name: str, context: ReportContext) -> Image:
    """A figure of the report, with its text for who cannot see it."""
    figure, _ = draw(name, context)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None}, bbox_inches="tight")
    return Image(buffer.getvalue(), format="png", alt=FIGURES[name].alt)
