"""HTML from templates and Markdown: whole pages, paragraphs, and tables whose numbers open their lineage."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
import mistune
from markupsafe import Markup

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.report.sourced_numbers import linked
from workflow_scripts.report.tables import NONE, Cell, Table

# Exactly one number, which the CSV can hold unrounded: 12.3, −2.9 %, 1.0e−06.
SINGLE_NUMBER = re.compile(r"[+−-]?\d[\d,]*(\.\d+)?(e[−+-]?\d+)?( %)?")
to_html = mistune.create_markdown(escape=True, plugins=["table"])


@contextmanager
def open_template(
    templates: Sequence[Path],
    name: str,
    autoescape: bool = True,
    filters: Mapping[str, Callable[..., str]] | None = None,
) -> Iterator[jinja2.Template]:
    """Open the template called `name`; it may extend or include the others by file name.

    With `autoescape` (HTML), every value is escaped unless it is markupsafe.Markup. A missing or broken
    template, and a missing value while it is open, become a PipelineError.
    """
    try:
        sources = {path.name: path.read_text(encoding="utf-8") for path in templates}
    except OSError as error:
        raise PipelineError(f"cannot read the template {error.filename}: {error.strerror}") from error
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(sources),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters or {})
    try:
        yield environment.get_template(name)
    except jinja2.TemplateNotFound as error:
        given = ", ".join(sources) or "none"
        raise PipelineError(f"the template {error.name} is missing; given are {given}") from error
    except jinja2.TemplateError as error:
        raise PipelineError(f"the template {name} cannot be rendered: {error}") from error


def render(templates: Sequence[Path], name: str, **content: Any) -> str:
    """Render an HTML page; see `open_template`."""
    with open_template(templates, name) as template:
        return template.render(content)


def inline_html(text: str) -> Markup:
    """Convert one paragraph of Markdown to HTML without the `<p>` tags; markup in it is escaped."""
    return Markup(to_html(text).strip().removeprefix("<p>").removesuffix("</p>"))


def block_html(text: str) -> Markup:
    """Convert Markdown to HTML; markup in it is escaped."""
    return Markup(to_html(text))


def page_table(table: Table, origin: Callable[[Cell], str], key: Callable[[str], str]) -> dict[str, Any]:
    """Prepare a table for the template: its columns, and rows of cells.

    `origin` maps a cell, and `key` a mark in a text, to a lineage key on the page, or to "".
    """
    rows = [[_cell(cell, origin, key) for cell in row] for row in table["rows"]]
    columns = [
        {"html": inline_html(column), "numeric": bool(rows) and all(row[place]["numeric"] for row in rows)}
        for place, column in enumerate(table["columns"])
    ]
    return {"columns": columns, "rows": rows}


def _cell(cell: str, origin: Callable[[Cell], str], key: Callable[[str], str]) -> dict[str, Any]:
    value = cell.value if isinstance(cell, Cell) else None
    html = linked(inline_html(cell), key)
    csv = ""
    if value is not None and SINGLE_NUMBER.fullmatch(cell):
        csv = str(value) if isinstance(value, int) else repr(float(value))
    text = html.striptags()
    return {
        "html": html,
        "value": value,
        "csv": csv,
        "numeric": value is not None or text in (NONE, "") or bool(SINGLE_NUMBER.fullmatch(text)),
        "origin": origin(cell) if isinstance(cell, Cell) else "",
    }
