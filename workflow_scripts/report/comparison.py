"""Compare two reports: what differs in settings, code and results, as text for a terminal and as a page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.core.files import canonical_json
from workflow_scripts.report.context import geometric_interval, t_interval
from workflow_scripts.report.labels import (
    OUTCOME_WORDS,
    arms_text,
    counted,
    estimand_label,
    estimate_text,
    interval_text,
    number,
    point_label,
    text_table,
)
from workflow_scripts.report.page import render
from workflow_scripts.report.tables import NONE, Table, setting_value
from workflow_scripts.study.estimands import complete
from workflow_scripts.study.reasons import claim, kind_of_run, metric_name, percent
from workflow_scripts.study.results import NOT_IDENTITY, Row

# The terminal shows this many rows of a table; the page shows all.
TERMINAL_ROWS = 20
# Rows that share these fields measure the same thing; they may still differ in identity and be incomparable.
POINT = ("metric", "point", "objective", "weights")
IDENTICAL = "identical"


@dataclass(frozen=True)
class Side:
    """One of two reports: rows as `study.results.flat` gives them, settings by arm and dotted key.

    `lineages` and `commits` are from its manifests.
    """

    rows: Sequence[Row]
    verdict: Mapping[str, Any]
    results_sha256: str
    settings: Mapping[str, Mapping[str, Any]] | None = None
    lineages: Sequence[Mapping[str, Any]] = ()
    commits: Sequence[str] = ()

    @property
    def name(self) -> str:
        return f"{self.verdict['study']}/{self.verdict['preset']}"


@dataclass(frozen=True)
class Section:
    """A heading, sentences, and a table unless the sentences say it all."""

    heading: str
    notes: list[str]
    table: Table | None = None


def compare(a: Side, b: Side) -> list[Section]:
    """Overview, settings, code, packages, hypotheses and metrics, all in plain text."""
    return [_overview(a, b), _settings(a, b), *_code(a, b), _hypotheses(a, b), _metrics(a, b)]


def as_text(sections: Sequence[Section]) -> str:
    """All sections for the terminal; long tables are cut and say how many rows are left out."""
    blocks = []
    for section in sections:
        lines = [section.heading.upper(), *section.notes]
        rows = section.table["rows"] if section.table else []
        if rows:
            lines.append(text_table([section.table["columns"], *rows[:TERMINAL_ROWS]]))
        if len(rows) > TERMINAL_ROWS:
            lines.append(f"… and {len(rows) - TERMINAL_ROWS} more rows in the page")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def as_page(a: Side, b: Side, sections: Sequence[Section], templates: Sequence[Path]) -> str:
    """One self-contained HTML page, escaped, with the same bytes wherever it is made."""
    kinds = {side.name: kind_of_run(side.verdict).upper() for side in (a, b)}
    return render(
        list(templates),
        "compare.html.j2",
        title=f"{a.name} and {b.name}",
        banner="; ".join(f"{kind}: {name}" for name, kind in kinds.items() if kind),
        sections=sections,
    )


def _overview(a: Side, b: Side) -> Section:
    def facts(side: Side) -> dict[str, str]:
        verdict = side.verdict
        preregistered = f"yes (preregistered: {verdict['preregistered_preset']})"
        return {
            "study / preset": side.name,
            "rehearsal": preregistered if verdict["rehearsal"] else "no",
            "pilot": "yes" if verdict.get("pilot") else "no",
            "outcome": OUTCOME_WORDS[verdict["outcome"]],
            "arms": ", ".join(sorted({row["arm"] for row in side.rows})) or "none",
            "seeds": ", ".join(map(str, sorted({row["seed"] for row in side.rows}))) or "none",
            "commit": ", ".join(commit[:12] for commit in side.commits) or "not recorded",
            "results.jsonl": f"{side.results_sha256[:12]} ({len(side.rows):,} rows)",
        }

    left, right = facts(a), facts(b)
    notes = ["The results are identical, byte for byte."] if a.results_sha256 == b.results_sha256 else []
    rows = [[name, left[name], right[name]] for name in left]
    return Section("Overview", notes, {"columns": ["", "A", "B"], "rows": rows})


def _settings(a: Side, b: Side) -> Section:
    """The settings that differ; one that differs in the same way in all shared arms is one row."""
    unknown = [name for name, side in (("A", a), ("B", b)) if side.settings is None]
    if unknown:
        return Section("Settings", [f"Unknown for {' and '.join(unknown)}: the gate's manifest is missing."])
    rows = [
        [arm, "the arm", *("run" if arm in side.settings else "not run" for side in (a, b))]
        for arm in sorted(a.settings.keys() ^ b.settings.keys())
    ]
    by_key: dict[str, dict[str, list[str]]] = {}
    shared = sorted(a.settings.keys() & b.settings.keys())
    for arm in shared:
        # Through JSON with sorted keys, since two files may order the same setting differently.
        sides = (json.loads(canonical_json(side.settings[arm])) for side in (a, b))
        texts = [{key: setting_value(value) or NONE for key, value in side.items()} for side in sides]
        for key, *pair in _differences(*texts):
            by_key.setdefault(key, {})[arm] = pair
    for key, pairs in sorted(by_key.items()):
        first = next(iter(pairs.values()))
        if len(pairs) == len(shared) > 1 and all(pair == first for pair in pairs.values()):
            pairs = {"every arm": first}
        rows += [[arm, key, *pair] for arm, pair in pairs.items()]
    return _section("Settings", "No setting differs.", ["Arm", "Setting", "A", "B"], rows)


def _code(a: Side, b: Side) -> list[Section]:
    unknown = [name for name, side in (("A", a), ("B", b)) if not side.lineages]
    if unknown:
        return [Section("Code", [f"Unknown for {' and '.join(unknown)}: there are no manifests."])]
    files, packages = (
        [_joined(lineage[part][inner] for lineage in side.lineages) for side in (a, b)]
        for part, inner in (("source", "files"), ("packages", "versions"))
    )
    code = _section("Code", "No source file differs.", ["Source file", "A", "B"], _differences(*files))
    if code.table:
        code.notes.append("Hashes of syntax trees: comments and docstrings do not count.")
    columns = ["Package", "A", "B"]
    return [code, _section("Packages", "No package differs.", columns, _differences(*packages))]


def _section(heading: str, otherwise: str, columns: list[str], rows: list[list[str]]) -> Section:
    """A section with a table or, without rows, one sentence."""
    return Section(heading, [], {"columns": columns, "rows": rows}) if rows else Section(heading, [otherwise])


def _differences(a: Mapping[str, str], b: Mapping[str, str]) -> list[list[str]]:
    """`[key, A, B]` for every key whose text differs."""
    return [
        [key, a.get(key, "absent"), b.get(key, "absent")]
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
    ]


def _joined(mappings: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """One text per key, listing all its values; hashes are shortened."""
    found: dict[str, set[str]] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            found.setdefault(key, set()).add(_short(str(value)))
    return {key: ", ".join(sorted(values)) for key, values in found.items()}


def _hypotheses(a: Side, b: Side) -> Section:
    left, right = ({item["id"]: complete(item) for item in side.verdict["hypotheses"]} for side in (a, b))
    rows = []
    for name in {**left, **right}:
        here, there = left.get(name), right.get(name)
        known = here or there
        estimates = map(_estimate, (here, there))
        rows.append([name, known["role"], arms_text(known), *estimates, _claim_note(here, there)])
    note = "Each side's own verdict; comparing two verdicts does not test their difference."
    columns = ["Hypothesis", "Role", "Arm / comparator", "A", "B", "Note"]
    return Section("Hypotheses", [note], {"columns": columns, "rows": rows})


def _estimate(item: Mapping[str, Any] | None) -> str:
    if item is None:
        return "no such hypothesis"
    words = OUTCOME_WORDS[item["outcome"]]
    if item["interval"] is None:
        return words
    level = f"{100 * item['confidence']:.4g} %"
    return f"{words}: {estimate_text(item)} ({level}: {interval_text(item)})"


def _claim_note(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> str:
    """What the two sides' hypotheses claim differently."""
    if a is None or b is None or a["outcome"] == b["outcome"] == "not_run":
        return ""

    def claims(item: Mapping[str, Any]) -> dict[str, str]:
        return {
            "measured": estimand_label(item["metric_used"]),
            "claimed": claim(item),
            "arms": arms_text(item),
        }

    notes = [f"{name}: {left} | {right}" for name, left, right in _differences(claims(a), claims(b))]
    return "; ".join(notes) or (IDENTICAL if a["seeds"] and a["seeds"] == b["seeds"] else "")


def _metrics(a: Side, b: Side) -> Section:
    """One row per arm and measurement at each side's last training step.

    A and B are means over seeds with 95 % t intervals (of the logarithm if all values are positive). The
    change is B against A, paired by seed, and only given if the rows' identities are equal; otherwise the
    note says what differs.
    """
    left, right = _by_point(a.rows), _by_point(b.rows)
    rows = []
    for key in sorted(left.keys() | right.keys(), key=_order):
        here, there = left.get(key, []), right.get(key, [])
        point = dict(zip(POINT, key[1:]))
        names = [key[0], metric_name(point["metric"]), _where((here or there)[0])]
        rows.append([*names, _mean(here), _mean(there), *_change(here, there)])
    notes = ["Last training step of each side. Exploratory: no hypothesis is about the change from A to B."]
    refused = sum(row[-1].startswith("not comparable") for row in rows)
    if refused:
        counts = f"{counted(refused, 'row')} of {len(rows)}"
        notes.append(f"{counts} cannot be compared; the note names the identity fields that differ.")
    columns = ["A", "B", "B against A"]
    columns = ["Arm", "Metric", "Where", *(f"{name} (95 % interval)" for name in columns), "Note"]
    return Section("Metrics", notes, {"columns": columns, "rows": rows})


def _by_point(rows: Sequence[Row]) -> dict[tuple, list[Row]]:
    last = max((row["step"] for row in rows), default=0)
    found: dict[tuple, list[Row]] = {}
    for row in rows:
        if row["step"] == last:
            found.setdefault((row["arm"], *(row.get(name) for name in POINT)), []).append(row)
    return found


def _order(key: tuple) -> tuple:
    """Numbers by size, and None, which cannot be compared with them, first."""
    return tuple((value is not None, value) for value in key)


def _where(row: Row) -> str:
    where = f"{row['objective']} objective" if "objective" in row else ""
    if "point" in row:
        where = point_label(row)
    return where if row["weights"] == "ema" else f"{where}, without EMA"


def _mean(rows: Sequence[Row]) -> str:
    if not rows:
        return NONE
    values = [row["value"] for row in rows]
    mean, low, high = (geometric_interval if min(values) > 0 else t_interval)(values)
    interval = f" ({number(low)} to {number(high)}, {len(rows)} seeds)"
    return number(mean) + ("" if math.isnan(low) else interval)


def _change(a: Sequence[Row], b: Sequence[Row]) -> tuple[str, str]:
    """The change from A to B with its interval, and a note."""
    if not a or not b:
        return NONE, f"only in {'A' if a else 'B'}"
    if differing := _differing_identity(a, b):
        return NONE, f"not comparable: {'; '.join(differing)}"
    left, right = ({row["seed"]: row["value"] for row in rows} for rows in (a, b))
    seeds, alone = sorted(left.keys() & right.keys()), sorted(left.keys() ^ right.keys())
    if not seeds:
        return NONE, "no seed in common"
    without = f"; without seed {', '.join(map(str, alone))}" if alone else ""
    if all(left[seed] == right[seed] for seed in seeds):
        return "0 %", IDENTICAL + without
    if min(*left.values(), *right.values()) > 0:
        ratio, *ends = geometric_interval([right[seed] / left[seed] for seed in seeds])
        low, high = (end - 1 for end in ends)
        text, interval = percent(ratio - 1), f"{percent(low)} to {percent(high)}"
    else:
        difference, low, high = t_interval([right[seed] - left[seed] for seed in seeds])
        text, interval = f"difference {number(difference, 3)}", f"{number(low, 3)} to {number(high, 3)}"
    if len(seeds) == 1:
        return text, "one seed, no interval" + without
    zero = "the interval includes zero" if low <= 0 <= high else "the interval excludes zero"
    return f"{text} ({interval})", zero + without


def _differing_identity(a: Sequence[Row], b: Sequence[Row]) -> list[str]:
    """`field (value of A | value of B)` for every identity field that differs."""
    found = []
    for name in dict.fromkeys(name for row in (*a, *b) for name in row if name not in NOT_IDENTITY):
        here, there = (", ".join(sorted({_short(str(row.get(name))) for row in rows})) for rows in (a, b))
        if {str(row.get(name)) for row in a} != {str(row.get(name)) for row in b}:
            found.append(f"{name} ({here} | {there})")
    return found


def _short(text: str) -> str:
    return text[:12] + "…" if len(text) == 64 else text
