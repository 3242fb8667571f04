"""The table of ratios, for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

import re
import statistics
from datetime import date
from pathlib import Path

from side_by_side import Row

HEAD = "| what | against | ratio: median (lowest – highest) | bar | limit | ours | theirs | apart (tolerance) |\n|---|---|---|---|---|---|---|---|"


def table(rows: list[Row]) -> str:
    """A Markdown table, one line per row."""
    return "\n".join([HEAD, *(_line(row) for row in rows)])


def renew_page(page: Path, device: str, hardware: str, rows: list[Row]) -> None:
    """Put the rows between the markers of `device`; SystemExit when the page lacks them."""
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {device}: made by `make bench` -->", f"<!-- end of {device} -->"
    match = re.search(re.escape(begin) + "(.*?)" + re.escape(end), text, flags=re.DOTALL)
    if match is None:
        raise SystemExit(f"error: {page} has no part between {begin} and {end}; put both lines back")
    new = f"\n{_section(hardware, rows)}\n"
    page.write_text(text[: match.start(1)] + new + text[match.end(1) :], encoding="utf-8")


def _section(hardware: str, rows: list[Row]) -> str:
    fewest = min(len(row.ratios) for row in rows)
    lines = [f"Written on {date.today().isoformat()}, measured on {hardware} {fewest} pairs or more in each row.", "", table(rows), ""]
    lines.append("What both sides are, and how it was checked that they compute the same:")
    lines.append("")
    lines += [f"- **{row.what}**, against {row.peer}: {row.equality}.{' ' + row.note if row.note else ''}" for row in rows]
    return "\n".join(lines)


def _line(row: Row) -> str:
    bar = "–" if row.bar is None else f"{row.bar:g}×{'' if row.ratio >= row.bar else ' (missed)'}"
    spread = f"**{row.ratio:.2f}×** ({min(row.ratios):.2f} – {max(row.ratios):.2f})"
    apart = f"{row.distance:.0e} ({row.tolerance:.0e})"
    limit = "–" if row.limit is None else f"{row.limit:.2f}×"
    return f"| {row.what} | {row.peer} | {spread} | {bar} | {limit} | {_rate(row, row.ours_s)} | {_rate(row, row.theirs_s)} | {apart} |"


def _rate(row: Row, seconds: list[float]) -> str:
    """Work per second, or seconds where one call is one piece of work."""
    typical = statistics.median(seconds)
    return f"{typical:.3g} s" if row.unit == "s" else f"{row.work / typical:.3g} {row.unit}/s"
