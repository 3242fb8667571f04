"""The table of ratios, for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

from side_by_side import Row

HEAD = (
    "| what | against | ratio: median (lowest – highest) | bar | limit | ours | theirs | apart (tolerance) | measured |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
MEASURED_ON = "Measured on "


def table(rows: list[Row]) -> str:
    """A Markdown table, one line per row."""
    return "\n".join([HEAD, *(_line(row) for row in rows)])


def renew_page(page: Path, device: str, hardware: str, rows: list[Row], whole: bool = False) -> bool:
    """Put the rows between the markers of `device`, into the table of `hardware`, in the place of those about the same subjects.

    Each hardware has a table of its own, and a new one comes last. Rows about other subjects stay if they were measured
    with the same packages. Where they were not, they go if these are `whole`, all that `make bench` measures; else the page
    stays as it was: False. SystemExit when it lacks the markers.
    """
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {device}: made by `make bench` -->", f"<!-- end of {device} -->"
    match = re.search(re.escape(begin) + "(.*?)" + re.escape(end), text, flags=re.DOTALL)
    if match is None:
        raise SystemExit(f"error: {page} has no part between {begin} and {end}; put both lines back")
    notes: list[str] = []
    parts: dict[str, list[str]] = {}  # the lines of each table, under what they were measured on
    for line in match.group(1).splitlines():
        if line.startswith(MEASURED_ON):
            parts[line.removeprefix(MEASURED_ON)] = lines = []
        elif line.startswith("- **"):
            notes.append(line)
        elif line.startswith("| ") and line not in HEAD:
            lines.append(line)
    others = [name for name in parts if name != hardware and _machine(name) == _machine(hardware)]
    if others and not whole:
        return False
    parts = {name: lines for name, lines in parts.items() if name not in others}
    parts[hardware] = _merged(parts.get(hardware, []), [_line(row) for row in rows])
    new = [_note(row) for row in rows]
    named = {_compared(note) for note in new}
    # a note that is not new stays for the rows of other hardware
    notes = _merged(notes, new + [note for note in notes if _compared(note) not in named])
    kept = {_compared(line) for lines in parts.values() for line in lines}
    notes = [note for note in notes if _compared(note) in kept]
    section = [""]
    for name, lines in parts.items():
        section += [f"{MEASURED_ON}{name}", "", HEAD, *lines, ""]
    section += ["What both sides are, and how it was checked that they compute the same:", "", *notes, ""]
    page.write_text(text[: match.start(1)] + "\n".join(section) + text[match.end(1) :], encoding="utf-8")
    return True


def _machine(hardware: str) -> str:
    """The processor and threads in what `describe_hardware` says, without the packages."""
    return hardware.partition(" Python ")[0]


def _merged(old: list[str], new: list[str]) -> list[str]:
    """The old lines, those of a subject that is measured anew replaced, where its first stood, by all of its new ones."""
    of_subject: dict[str, list[str]] = {}
    for line in new:
        of_subject.setdefault(_subject(line), []).append(line)
    merged, measured = [], set(of_subject)
    for line in old:
        merged += of_subject.pop(_subject(line), []) if _subject(line) in measured else [line]
    return merged + [line for lines in of_subject.values() for line in lines]


def _subject(line: str) -> str:
    """What a line of the table or of the notes is about: the words of `what` before its first comma."""
    return re.split(r"[,|*]", line.lstrip("|-* "))[0].strip()


def _compared(line: str) -> str:
    """What a line of the table or of the notes compares, and with what."""
    if line.startswith("| "):
        what, peer = (cell.strip() for cell in line.split("|")[1:3])
        return f"- **{what}**, against {peer}"
    return line.partition(": ")[0]


def _note(row: Row) -> str:
    return f"- **{row.what}**, against {row.peer}: {row.equality}.{' ' + row.note if row.note else ''}"


def _line(row: Row) -> str:
    bar = "–" if row.bar is None else f"{row.bar:g}×{'' if row.ratio >= row.bar else ' (missed)'}"
    spread = f"**{row.ratio:.2f}×** ({min(row.ratios):.2f} – {max(row.ratios):.2f})"
    apart = f"{row.distance:.0e} ({row.tolerance:.0e})"
    limit = "–" if row.limit is None else f"{row.limit:.2f}×"
    measured = f"{row.day}, {len(row.ratios)} pair{'s' * (len(row.ratios) > 1)}"
    cells = (
        row.what,
        row.peer,
        spread,
        bar,
        limit,
        _rate(row, row.ours_s),
        _rate(row, row.theirs_s),
        apart,
        measured,
    )
    return f"| {' | '.join(cells)} |"


def _rate(row: Row, seconds: list[float]) -> str:
    """Work per second, or seconds where one call is one piece of work."""
    typical = statistics.median(seconds)
    return f"{typical:.3g} s" if row.unit == "s" else f"{row.work / typical:.3g} {row.unit}/s"
