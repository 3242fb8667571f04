"""A plan for people: jobs that would run for the same reason in one line, with what they cost by past durations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workflow_scripts.provenance.planned_jobs import PlannedJob
from workflow_scripts.provenance.why_planned import Reasons

_NOUNS = {
    "train_model": "training run",
    "sample_images": "set of samples",
    "extract_features": "set of features",
    "compute_metrics": "set of metrics",
    "probe_checkpoint": "curvature probe",
    "render_notebook": "notebook",
    "draw_figure": "figure",
}
_SPEAKING = ("arm", "figure", "notebook", "sampler")  # values that say what they are values of
_MOST_VALUES = 4


@dataclass(frozen=True)
class Explained:
    """A planned job, why it would run, and how many seconds it took before; None where nothing like it ever ran."""

    job: PlannedJob
    reasons: Reasons
    seconds: float | None


def plan_lines(explained: Sequence[Explained]) -> list[str]:
    """One line per kind of step and reason: those with a reason of their own, dearest first, then those that follow."""
    groups: dict[tuple[str, tuple[str, ...]], list[Explained]] = defaultdict(list)
    for item in explained:
        groups[item.job.command.entry, item.reasons.own].append(item)
    ordered = sorted(
        groups.items(),
        key=lambda group: (not group[0][1], -sum(item.seconds or 0 for item in group[1]) * bool(group[0][1])),
    )
    return [_line(entry, own, items) for (entry, own), items in ordered]


def total_words(explained: Sequence[Explained], cores: int) -> str:
    """What all of it costs: `about 12 min of work, 6 min or more on 2 cores`."""
    known = [item.seconds for item in explained if item.seconds is not None]
    if not known:
        return "how long is not known: nothing like it has run here"
    unknown = len(explained) - len(known)
    shared = f", {duration(sum(known) / cores)} or more on {cores} cores" if cores > 1 else ""
    return f"about {duration(sum(known))} of work{shared}" + (
        f", and {unknown} job{'s' if unknown > 1 else ''} that never ran here" if unknown else ""
    )


def duration(seconds: float) -> str:
    """`40 s`, `3 min`, `2.5 h`: as exact as an estimate can be."""
    if seconds < 1:
        return "1 s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"


def _line(entry: str, own: tuple[str, ...], items: Sequence[Explained]) -> str:
    known = [item.seconds for item in items if item.seconds is not None]
    cost = f", about {duration(sum(known) * len(items) / len(known))}" if known else ""
    subject = _subject([item.job.command.wildcards or _figure(item.job) for item in items])
    follows = sorted({name for item in items for name in item.reasons.follows})
    names = follows if len(follows) <= _MOST_VALUES else [f"{len(follows)} other kinds of step"]
    why = f"because {'; '.join(own)}" if own else f"after {', '.join(names)}"
    return f"{_count(entry, len(items))}{cost}{': ' + subject if subject else ''}, {why}"


def _figure(job: PlannedJob) -> dict[str, str]:
    """A figure's rule has no wildcards; its settings say which it is."""
    return {"figure": job.command.settings["figure"]} if "figure" in job.command.settings else {}


def _count(entry: str, number: int) -> str:
    noun = _NOUNS.get(entry)
    if noun is None:
        return entry if number == 1 else f"{number} jobs {entry}"
    first, *rest = noun.split(" of ")
    return f"{number} " + " of ".join([first + ("s" if number != 1 else ""), *rest])


def _subject(wildcards: Sequence[Mapping[str, str]]) -> str:
    """What the jobs are about: `E2_minsnr_linear seeds 1077, 1078`."""
    parts = []
    for name in {name: None for found in wildcards for name in found}:
        values = sorted({found[name] for found in wildcards if name in found})
        if len(values) > _MOST_VALUES:
            parts += (
                [f"{len(values)} {name}s"] if name != "figure" else []
            )  # so many figures are counted already
            continue
        shown = ", ".join(str(int(value)) if value.isdigit() else value for value in values)
        parts.append(shown if name in _SPEAKING else f"{name}{'s' if len(values) > 1 else ''} {shown}")
    return " ".join(parts)
