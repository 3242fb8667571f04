"""Words, number formats and plain-text tables that figures, summary, page and terminal share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from workflow_scripts.study.reasons import metric_name, percent
from workflow_scripts.study.rule import log_margin

MINUS = "\u2212"
OUTCOME_WORDS = {
    "better": "better",
    "worse": "worse",
    "neutral": "neutral",
    "inconclusive": "inconclusive",
    "not_run": "not run",
}


def sampler_label(point: Mapping[str, Any]) -> str:
    """A point's sampler with its variance and guidance: `DDIM, η = 0, guidance 2`."""
    words = {"ddpm": "DDPM, posterior variance", "ddpm_large": "DDPM, variance β", "ddim": "DDIM"}
    words |= {"direct": "one call"}
    label = words.get(point["sampler"], point["sampler"])
    for name, key in (("η =", "eta"), ("guidance", "guidance_scale")):
        label += f", {name} {point[key]:g}" if point.get(key) is not None else ""
    return label


def point_label(point: Mapping[str, Any]) -> str:
    """A point in words: `DDIM, η = 0, NFE 50`."""
    return f"{sampler_label(point)}, NFE {point['nfe']}"


def estimand_label(metric: Mapping[str, Any]) -> str:
    """A metric's identity in words: name, objective, sampler, network calls, sample count."""
    parts = [metric_name(metric.get("metric") or metric["name"])]
    if metric.get("objective"):
        parts.append(f"{metric['objective']} objective")
    if metric.get("sampler"):
        parts.append(f"{metric['sampler']}, NFE {metric.get('nfe')}")
    if metric.get("num_samples"):
        parts.append(f"{metric['num_samples']:,} samples")
    if metric.get("num_probes"):
        parts.append(f"{metric['num_probes']} probes")
    return ", ".join(parts)


def schedule_label(diffusion: Mapping[str, Any]) -> str:
    """The noise schedule's name, with its end points where it has them."""
    start, end = diffusion.get("beta_start"), diffusion.get("beta_end")
    if diffusion["schedule"] == "linear" and start is not None and end is not None:
        return f"linear, β {start:g} to {end:g}"
    return str(diffusion["schedule"])


def number(value: float | None, digits: int = 4) -> str:
    """A number with `digits` significant digits; an en dash for None and values that are not finite."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude >= 6 or magnitude < -4:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    return f"{value:,.{max(digits - 1 - magnitude, 0)}f}".replace("-", MINUS)


def margins(threshold: float) -> tuple[float, float]:
    """Changes between these are too small to count: the threshold and its mirror on the log scale."""
    margin = log_margin(threshold)
    return math.expm1(-margin), math.expm1(margin)


def threshold_text(threshold: float) -> str:
    """A threshold as the preregistration states it, without forced decimals: 7 %."""
    return f"{100 * threshold:g} %"


def interval_text(interval: Sequence[float] | None) -> str:
    """An interval of relative changes: −20.0 % to −3.0 %."""
    return "–" if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def change_text(relative_change: float | None) -> str:
    """A signed relative change: −12.0 %; an en dash for None."""
    return "–" if relative_change is None else percent(relative_change)


def change_words(relative_change: float) -> str:
    """A relative change in words: 12.0 % lower, 3.1 % higher."""
    return f"{percent(abs(relative_change))[1:]} {'lower' if relative_change < 0 else 'higher'}"


def join_words(words: Sequence[str]) -> str:
    """An enumeration: a, b and c."""
    if len(words) < 2:
        return words[0] if words else "none"
    return f"{', '.join(words[:-1])} and {words[-1]}"


def counted(count: int, noun: str) -> str:
    """A count with its noun: 1 seed, 3 seeds."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def rehearsal_line(report: Mapping[str, Any]) -> str:
    """The banner of every rehearsal."""
    return (
        f"REHEARSAL: {report['study']} is preregistered for the preset {report['preregistered_preset']}. "
        f"These numbers come from the preset {report['preset']} ({report['preset_title']}); "
        "they rehearse the study and do not answer the preregistered question."
    )


def verdict_table(verdict: Mapping[str, Any]) -> str:
    """The verdict as plain text: a line per hypothesis, then the study's outcome; a rehearsal says so."""
    rows = [("hypothesis", "arm / comparator", "metric", "threshold", "change", "interval", "verdict")]
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
    lines = [text_table(rows), ""]
    if verdict["rehearsal"]:
        preset, locked = verdict["preset"], verdict["preregistered_preset"]
        lines.insert(0, f"REHEARSAL on preset {preset}; preregistered is {locked}")
    lines.append(
        f"{verdict['study']} ({verdict['preset']}): {verdict['outcome'].upper()}. {verdict['reason']}"
    )
    return "\n".join(lines)


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length, the first of them the heading, as aligned columns; no trailing newline."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
