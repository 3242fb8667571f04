"""The tables of ratios, for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

from side_by_side import Row

HEAD = (
    "| what | against | ratio: median (range) | bar | ours | theirs | difference (tolerance) | measured |\n"
    "|---|---|---|---|---|---|---|---|"
)


def table(rows: list[Row]) -> str:
    """A Markdown table, one line per row."""
    return "\n".join([HEAD, *map(_line, rows)])


def renew_page(page: Path, hardware: str, rows: list[Row]) -> None:
    """Replace the part of `page` headed by `hardware`, or append it; other hardware keeps its part."""
    heading = f"## {hardware.partition('. ')[0]}"
    checks = sorted({f"- {row.what.partition(',')[0]}, against {row.peer}: {row.equality}." for row in rows})
    part = "\n".join(
        [heading, "", f"Measured with {hardware.partition('. ')[2]}", "", table(rows), "", *checks, ""]
    )
    text = page.read_text(encoding="utf-8")
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    kept = [old for old in parts if old.split("\n", 1)[0] != heading]
    page.write_text("\n".join(old.rstrip("\n") + "\n" for old in [*kept, part]), encoding="utf-8")


def _line(row: Row) -> str:
    bar = "–" if row.bar is None else f"{row.bar:g}×{'' if row.ratio >= row.bar else ' (missed)'}"
    cells = (
        row.what,
        row.peer,
        f"**{row.ratio:.2f}×** ({min(row.ratios):.2f} – {max(row.ratios):.2f})",
        bar,
        _rate(row, row.ours_s),
        _rate(row, row.theirs_s),
        f"{row.distance:.0e} ({row.tolerance:.0e})",
        f"{row.day}, {len(row.ratios)} pairs",
    )
    return f"| {' | '.join(cells)} |"


def _rate(row: Row, seconds: list[float]) -> str:
    """Work per second, or seconds where one call is one piece of work."""
    typical = statistics.median(seconds)
    return f"{typical:.3g} s" if row.unit == "s" else f"{row.work / typical:.3g} {row.unit}/s"
