"""Tables as the page shows them: numbers that open their lineage, columns that sort, unrounded values for the CSV."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import mistune
from markupsafe import Markup

from workflow_scripts.report.sourced_numbers import linked
from workflow_scripts.report.tables import NONE, Cell, Table

# One number and nothing else, so that the CSV may hold it unrounded: 12.3, −2.9 %, 1.0e−06.
SINGLE_NUMBER = re.compile(r"[+−-]?\d[\d,]*(\.\d+)?(e[−+-]?\d+)?( %)?")
to_html = mistune.create_markdown(escape=True, plugins=["table"])


def inline_html(text: str) -> Markup:
    """One paragraph of Markdown as HTML without the paragraph's tags; markup in it is escaped."""
    return Markup(to_html(text).strip().removeprefix("<p>").removesuffix("</p>"))


def block_html(text: str) -> Markup:
    """Markdown as HTML; markup in it is escaped."""
    return Markup(to_html(text))


def page_table(
    name: str, caption: str, table: Table, origin: Callable[[Cell], str], key: Callable[[str], str]
) -> dict[str, Any]:
    """What the template needs: columns, rows of cells `{html, text, value, csv, origin}`, and the name of the CSV file.

    `origin` gives the key under which the page holds a cell's lineage, or "" where there is none to show; `key` that of
    a mark in the caption or in the text of a cell.
    """
    rows = [[_cell(cell, origin, key) for cell in row] for row in table["rows"]]
    columns = [
        {"html": inline_html(column), "numeric": bool(rows) and all(_is_number(row[place]) for row in rows)}
        for place, column in enumerate(table["columns"])
    ]
    return {"name": name, "caption": linked(inline_html(caption), key), "columns": columns, "rows": rows}


def _cell(cell: str, origin: Callable[[Cell], str], key: Callable[[str], str]) -> dict[str, Any]:
    value = cell.value if isinstance(cell, Cell) else None
    html = linked(inline_html(cell), key)
    single = value is not None and SINGLE_NUMBER.fullmatch(cell) is not None
    return {
        "html": html,
        "text": html.striptags(),
        "value": value,
        "csv": None if not single else str(value) if isinstance(value, int) else repr(float(value)),
        "origin": origin(cell) if isinstance(cell, Cell) else "",
    }


def _is_number(cell: dict[str, Any]) -> bool:
    return (
        cell["value"] is not None
        or cell["text"] in (NONE, "")
        or SINGLE_NUMBER.fullmatch(cell["text"]) is not None
    )
