"""Sections of report and summary that a study lists in `sections`, one module each (core/registry.py).

A section is a function called like its module, with the ReportContext and `setting(name, noun)`, which gives
a setting's value as marked Markdown. `METRICS` in its module names the metrics that it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from workflow_scripts.core import registry
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.summary_words import Setting
from workflow_scripts.report.tables import Table


class Section(NamedTuple):
    """Words in Markdown, then parts: the name of a figure, or a table with its name and caption."""

    heading: str
    words: str
    parts: Sequence[str | tuple[str, str, Table]]


def sections_of(context: ReportContext, setting: Setting) -> dict[str, Section]:
    """The study's sections by name, in its order."""
    names = context.report["sections"]
    return {name.rpartition(":")[2]: registry.load("sections", name)(context, setting) for name in names}
