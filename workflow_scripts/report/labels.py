"""Words, number formats and plain-text tables that figures, summary, page and terminal share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workflow_scripts.study.estimands import estimate
from workflow_scripts.study.reasons import claim, kind_of_run, metric_name, value_text

MINUS = "\u2212"
OUTCOME_WORDS = {
    "better": "better",
    "worse": "worse",
    "neutral": "neutral",
    "held": "held",
    "failed": "failed",
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


def arms_text(hypothesis: Mapping[str, Any], name: Callable[[str], str] = str) -> str:
    """Arm and comparator by name, `A / B`; of a level the arm; of a combination `all of E1.H1, E1.H2`."""
    if how := hypothesis["how"]:
        return f"{how.replace('_', ' ')} {', '.join(hypothesis[how])}"
    return " / ".join(name(hypothesis[side]) for side in ("arm", "comparator") if hypothesis[side])


def estimand_label(metric: Mapping[str, Any] | None) -> str:
    """A metric's identity in words: name, objective, sampler, network calls, sample count."""
    if metric is None:
        return "–"
    parts = [metric_name(metric.get("metric") or metric["name"])]
    if metric.get("objective"):
        parts.append(f"{metric['objective']} objective")
    if metric.get("sampler"):
        guidance = "" if metric.get("guidance_scale") is None else f", guidance {metric['guidance_scale']:g}"
        parts.append(f"{metric['sampler']}{guidance}, NFE {metric.get('nfe')}")
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


def interval_text(hypothesis: Mapping[str, Any]) -> str:
    """An interval, of a ratio −20.0 % to −3.0 %; an en dash for None."""
    return " to ".join(value_text(hypothesis, end) for end in hypothesis["interval"] or [None])


def estimate_text(hypothesis: Mapping[str, Any]) -> str:
    """An estimate, of a ratio −12.0 %; an en dash for None."""
    return value_text(hypothesis, estimate(hypothesis))


def join_words(words: Sequence[str]) -> str:
    """An enumeration: a, b and c."""
    if len(words) < 2:
        return words[0] if words else "none"
    return f"{', '.join(words[:-1])} and {words[-1]}"


def counted(count: int, noun: str) -> str:
    """A count with its noun: 1 seed, 3 seeds."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def seeds_words(report: Mapping[str, Any]) -> str:
    """How many seeds the arms have that are trained: 3 seeds, 2 to 8 seeds."""
    counts = sorted({len(arm["seeds"]) for arm in report["arms"] if arm["trained"]})
    return " to ".join([*map(str, counts[:-1][:1]), counted(counts[-1] if counts else 0, "seed")])


def rehearsal_line(report: Mapping[str, Any]) -> str:
    """The banner of every pilot and every rehearsal."""
    if report.get("pilot"):
        return (
            f"PILOT of {report['study']}: {report['preset_title']}. These numbers come from other seeds than "
            "the study's; they serve to plan the study and are no part of its results."
        )
    return (
        f"REHEARSAL: {report['study']} is preregistered for the preset {report['preregistered_preset']}. "
        f"These numbers come from the preset {report['preset']} ({report['preset_title']}); "
        "they rehearse the study and do not answer the preregistered question."
    )


def verdict_table(verdict: Mapping[str, Any]) -> str:
    """The verdict as plain text: a line per hypothesis, then the outcome; a pilot or rehearsal says so."""
    rows = [("hypothesis", "arm / comparator", "metric", "claim", "estimate", "interval", "verdict")]
    for item in verdict["hypotheses"]:
        level = "" if item["interval"] is None else f" ({100 * item['confidence']:.4g} %)"
        rows.append(
            (
                item["id"] if item["role"] == "confirmatory" else f"{item['id']} (exploratory)",
                arms_text(item),
                estimand_label(item["metric_used"]),
                claim(item),
                estimate_text(item),
                interval_text(item) + level,
                OUTCOME_WORDS[item["outcome"]],
            )
        )
    lines = [text_table(rows), ""]
    if kind := kind_of_run(verdict):
        preset, locked = verdict["preset"], verdict["preregistered_preset"]
        lines.insert(0, f"{kind.upper()} on preset {preset}; preregistered is {locked}")
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
