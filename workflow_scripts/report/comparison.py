"""A comparison of two reports: what changed in settings, code and results, as text for a terminal and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow_scripts.report import compared_code, compared_results
from workflow_scripts.report.labels import OUTCOME_WORDS, counted
from workflow_scripts.report.page import render
from workflow_scripts.report.tables import Table
from workflow_scripts.report.terminal import text_table
from workflow_scripts.study.results import Row

# How many rows of a table the terminal shows; the page holds all.
TERMINAL_ROWS = 20


@dataclass(frozen=True)
class Side:
    """One of two reports: result rows, verdict, sha256 of the results, and what is known of how they were made.

    `settings` are flat, by arm; None where neither a manifest nor a configuration says. `settings_from` says which did.
    `lineages` are those of every step's manifest; empty where there are none. `commits` are the steps' commits.
    """

    rows: Sequence[Row]
    verdict: Mapping[str, Any]
    results_sha256: str
    settings: Mapping[str, Mapping[str, Any]] | None = None
    settings_from: str = ""
    lineages: Sequence[Mapping[str, Any]] = ()
    commits: Sequence[str] = field(default=())

    @property
    def name(self) -> str:
        return f"{self.verdict['study']}/{self.verdict['preset']}"


@dataclass(frozen=True)
class Section:
    """A heading, sentences under it, and a table (None or empty: the sentences say it all)."""

    heading: str
    notes: list[str]
    table: Table | None = None


def compare(a: Side, b: Side) -> list[Section]:
    """Overview, settings, code, packages, hypotheses and metrics; all plain text."""
    return [_overview(a, b), _settings(a, b), *_code(a, b), _hypotheses(a, b), _metrics(a, b)]


def _overview(a: Side, b: Side) -> Section:
    def facts(side: Side) -> list[str]:
        verdict = side.verdict
        seeds = sorted({row["seed"] for row in side.rows})
        return [
            side.name,
            f"yes (preregistered: {verdict['preregistered_preset']})" if verdict["rehearsal"] else "no",
            OUTCOME_WORDS[verdict["outcome"]],
            ", ".join(sorted({row["arm"] for row in side.rows})) or "none",
            ", ".join(map(str, seeds)) or "none",
            ", ".join(commit[:12] for commit in side.commits) or "not recorded",
            f"{side.results_sha256[:12]} ({len(side.rows):,} rows)",
        ]

    names = ["study / preset", "rehearsal", "outcome", "arms", "seeds", "commit", "results.jsonl"]
    rows = [list(row) for row in zip(names, facts(a), facts(b))]
    notes = ["The results are the same, byte for byte."] if a.results_sha256 == b.results_sha256 else []
    return Section("Overview", notes, {"columns": ["", "A", "B"], "rows": rows})


def _settings(a: Side, b: Side) -> Section:
    unknown = [name for name, side in (("A", a), ("B", b)) if side.settings is None]
    if unknown:
        return Section(
            "Settings",
            [
                f"Not known for {' and '.join(unknown)}: there is no manifest and no configuration beside the results."
            ],
        )
    notes = [f"{name}: {side.settings_from}." for name, side in (("A", a), ("B", b))]
    table = compared_code.settings_table(a.settings, b.settings)
    return Section("Settings", notes if table["rows"] else [*notes, "No setting differs."], table)


def _code(a: Side, b: Side) -> list[Section]:
    unknown = [name for name, side in (("A", a), ("B", b)) if not side.lineages]
    if unknown:
        return [
            Section(
                "Code",
                [f"Not known: {' and '.join(unknown)} {'have' if len(unknown) > 1 else 'has'} no manifests."],
            )
        ]
    code, packages = (
        compared_code.code_table(a.lineages, b.lineages),
        compared_code.package_table(a.lineages, b.lineages),
    )
    files = "Sums of syntax trees: comments and docstrings do not count."
    return [
        Section("Code", [files] if code["rows"] else ["No source file differs."], code),
        Section("Packages", [] if packages["rows"] else ["No package differs."], packages),
    ]


def _hypotheses(a: Side, b: Side) -> Section:
    note = "Each side's own verdict. Two verdicts are no test of their difference."
    return Section("Hypotheses", [note], compared_results.hypothesis_table(a.verdict, b.verdict))


def _metrics(a: Side, b: Side) -> Section:
    table = compared_results.metric_table(a.rows, b.rows)
    refused = sum(row[-1].startswith("not comparable") for row in table["rows"])
    notes = [
        "Last training step of each side. Exploratory: no hypothesis is about the difference between A and B."
    ]
    if refused:
        notes.append(
            f"{counted(refused, 'row')} of {len(table['rows'])} may not be compared; the note says which fields of their identity differ."
        )
    return Section("Metrics", notes, table)


def as_text(sections: Sequence[Section]) -> str:
    """For the terminal: every section, long tables cut with the number of rows left out."""
    blocks = []
    for section in sections:
        lines = [section.heading.upper(), *section.notes]
        if section.table and section.table["rows"]:
            rows = section.table["rows"]
            lines.append(text_table([section.table["columns"], *rows[:TERMINAL_ROWS]]))
            lines += (
                [f"… and {len(rows) - TERMINAL_ROWS} more rows in the page"]
                if len(rows) > TERMINAL_ROWS
                else []
            )
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def as_page(a: Side, b: Side, sections: Sequence[Section], templates: Sequence[Path]) -> str:
    """One self-contained page; everything is escaped, and nothing depends on when or where it is made."""
    rehearsals = [side.name for side in (a, b) if side.verdict["rehearsal"]]
    return render(
        list(templates),
        "compare.html.j2",
        title=f"{a.name} and {b.name}",
        banner=f"REHEARSAL: {' and '.join(dict.fromkeys(rehearsals))}" if rehearsals else "",
        sections=sections,
    )
