"""Words and number formats that the figures, the summary, the HTML and the terminal share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from workflow_scripts.study.reasons import metric_name, percent

MINUS = "\u2212"
OUTCOME_WORDS = {
    "better": "better",
    "worse": "worse",
    "neutral": "neutral",
    "inconclusive": "inconclusive",
    "not_run": "not run",
}


def sampler_label(sampler: str, eta: float | None = None) -> str:
    """A sampler with its variance, as the caption of a panel or the head of a column."""
    words = {"ddpm": "DDPM, posterior variance", "ddpm_large": "DDPM, variance β", "ddim": "DDIM"}
    name = words.get(sampler, sampler)
    return name if eta is None else f"{name}, η = {eta:g}"


def estimand_label(metric: Mapping[str, Any]) -> str:
    """What a hypothesis compares, from a metric identity: name, objective, sampler, network calls, sample count."""
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
    """A number with `digits` significant digits; an en dash when there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude >= 6 or magnitude < -4:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    return f"{value:,.{max(digits - 1 - magnitude, 0)}f}".replace("-", MINUS)


def size(fraction: float) -> str:
    """The size of a relative change, without its sign: 12.0 %."""
    return percent(abs(fraction))[1:]


def threshold_text(threshold: float) -> str:
    """A threshold as the preregistration states it, without forced decimals: 7 %."""
    return f"{100 * threshold:g} %"


def interval_text(interval: list[float] | None) -> str:
    """An interval of relative changes: −20.0 % to −3.0 %."""
    return "–" if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def change_text(relative_change: float | None) -> str:
    """A signed relative change: −12.0 %; an en dash when there is none."""
    return "–" if relative_change is None else percent(relative_change)


def change_words(relative_change: float) -> str:
    """A relative change in words: 12.0 % lower, 3.1 % higher."""
    return f"{size(relative_change)} {'lower' if relative_change < 0 else 'higher'}"


def join_words(words: list[str]) -> str:
    """An enumeration: a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def counted(count: int, noun: str) -> str:
    """A count with its noun: 1 seed, 3 seeds."""
    return (
        f"{count} {noun}"
        if count == 1
        else f"{count} {noun[:-1] + 'es' if noun.endswith('is') else noun + 's'}"
    )


def rehearsal_line(report: Mapping[str, Any]) -> str:
    """The sentence that stands wherever a rehearsal is shown."""
    return (
        f"REHEARSAL: {report['study']} is preregistered for the preset {report['preregistered_preset']}. "
        f"These numbers come from the preset {report['preset']} ({report['preset_title']}); "
        "they rehearse the study and do not answer the preregistered question."
    )
