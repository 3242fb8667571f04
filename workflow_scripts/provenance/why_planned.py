"""Why each planned job would run, in words and with its cost, for people.

Without a manifest (provenance/up_to_date.py) the explanation says less, and guesses nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.provenance.planned_jobs import PlannedJob
from workflow_scripts.provenance.up_to_date import UpToDate

_MOST_VALUES = 4


@dataclass(frozen=True)
class Explained:
    """A planned job, its `own` reasons to run, the rules that it waits for (`follows`), expected seconds."""

    job: PlannedJob
    own: tuple[str, ...]
    follows: tuple[str, ...]
    seconds: float | None = None


def explain(
    jobs: Sequence[PlannedJob],
    root: Path,
    data_root: Path | None = None,
    seconds: Mapping[str, float] | None = None,
) -> list[Explained]:
    """Say why each job would run. `seconds`: rule -> how long its jobs take on average."""
    makers = {path: job for job in jobs for path in job.output_paths}
    up_to_date = UpToDate(root, data_root)
    explained = []
    for job in jobs:
        follows = tuple(sorted({makers[path].rule for path in job.input_paths if path in makers}))
        own = tuple(up_to_date.changes(job, makers))
        if not own and not follows:
            own = (f"Snakemake says: {job.reason.split(':')[0] or 'no reason'}",)
        explained.append(Explained(job, own, follows, (seconds or {}).get(job.rule)))
    return explained


def plan_lines(explained: Sequence[Explained]) -> list[str]:
    """Return one line per kind of step and reason: own reasons first, by duration, then what follows."""
    groups: dict[tuple[str, tuple[str, ...]], list[Explained]] = defaultdict(list)
    for item in explained:
        groups[item.job.entry, item.own].append(item)
    leading = [items for (_, own), items in groups.items() if own]
    leading.sort(key=lambda items: -sum(item.seconds or 0 for item in items))
    return [_line(items) for items in leading + [items for (_, own), items in groups.items() if not own]]


def total_words(explained: Sequence[Explained], cores: int) -> str:
    """Return what all of it costs: `about 12 min of work, 6 min or more on 2 cores`."""
    known = [item.seconds for item in explained if item.seconds is not None]
    if not known:
        return "duration unknown: nothing like it has run here"
    unknown = len(explained) - len(known)
    shared = f", {duration(sum(known) / cores)} or more on {cores} cores" if cores > 1 else ""
    never = f", and {unknown} job{'s' if unknown > 1 else ''} that never ran here" if unknown else ""
    return f"about {duration(sum(known))} of work{shared}{never}"


def duration(seconds: float) -> str:
    """Format an estimate: `40 s`, `3 min`, `2.5 h`."""
    if seconds < 99.5:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"


def _line(items: Sequence[Explained]) -> str:
    """One line for jobs of one kind and reason: count, cost, subject, reason."""
    known = [item.seconds for item in items if item.seconds is not None]
    cost = f", about {duration(sum(known) * len(items) / len(known))}" if known else ""
    subject = _subject([item.job.wildcards or _figure(item.job) for item in items])
    if own := items[0].own:
        why = f"because {'; '.join(own)}"
    else:
        follows = sorted({name for item in items for name in item.follows})
        many = f"{len(follows)} other kinds of step"
        why = f"after {', '.join(follows) if len(follows) <= _MOST_VALUES else many}"
    return f"{len(items)} × {items[0].job.entry}{cost}{': ' + subject if subject else ''}, {why}"


def _figure(job: PlannedJob) -> dict[str, str]:
    """A figure's rule has no wildcards; the settings name the figure."""
    return {"figure": job.settings["figure"]} if "figure" in job.settings else {}


def _subject(wildcards: Sequence[Mapping[str, str]]) -> str:
    """The values of each wildcard: `arm E2_minsnr_linear; seed 1077, 1078`."""
    parts = []
    for name in dict.fromkeys(name for found in wildcards for name in found):
        values = sorted({found[name] for found in wildcards if name in found})
        shown = ", ".join(values) if len(values) <= _MOST_VALUES else f"{len(values)} values"
        parts.append(f"{name} {shown}")
    return "; ".join(parts)
