"""Tables as plain text for a terminal, the verdict's first of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workflow_scripts.report.labels import (
    OUTCOME_WORDS,
    change_text,
    estimand_label,
    interval_text,
    threshold_text,
)

COLUMNS = ("hypothesis", "arm / comparator", "metric", "threshold", "change", "interval", "verdict")


def verdict_table(verdict: Mapping[str, Any]) -> str:
    """One line per hypothesis, then the study's outcome; a rehearsal says so first. No trailing newline."""
    rows = [COLUMNS]
    for item in verdict["hypotheses"]:
        level = "" if item["interval"] is None else f" ({100 * item['confidence']:.4g} %)"
        rows.append(
            (
                item["id"] if item["role"] == "confirmatory" else f"{item['id']} (exploratory)",
                f"{item['arm']} / {item['comparator']}",
                estimand_label(item["metric_used"]),
                f"{threshold_text(item['threshold'])} {item['direction']}",
                change_text(item["relative_change"]),
                interval_text(item["interval"]) + level,
                OUTCOME_WORDS[item["outcome"]],
            )
        )
    lines = text_table(rows).splitlines()
    if verdict["rehearsal"]:
        lines.insert(
            0, f"REHEARSAL on preset {verdict['preset']}; preregistered is {verdict['preregistered_preset']}"
        )
    outcome = f"{verdict['study']} ({verdict['preset']}): {verdict['outcome'].upper()}. {verdict['reason']}"
    return "\n".join([*lines, "", outcome])


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length, the first of them the heading, as aligned columns; no trailing newline."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
