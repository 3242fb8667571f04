"""Why each planned job would run, in words and with its cost, for people.

Snakemake says only that something changed. Here the manifest of a step's last run is compared with what the
step would run with now. Without a manifest the explanation says less, and guesses nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_file
from workflow_scripts.provenance.manifest import local_path, manifest_path, read_manifest, recorded_files
from workflow_scripts.provenance.packages import code_of
from workflow_scripts.provenance.planned_jobs import PlannedJob
from workflow_scripts.provenance.verification import changed_keys, differences

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
    explained = []
    for job in jobs:
        follows = tuple(sorted({makers[path].rule for path in job.input_paths if path in makers}))
        own = tuple(_own_reasons(job, makers, root, data_root))
        if not own and not follows:
            own = (f"Snakemake says: {job.reason.split(':')[0] or 'no reason'}",)
        explained.append(Explained(job, own, follows, (seconds or {}).get(job.rule)))
    return explained


def _own_reasons(
    job: PlannedJob, makers: Mapping[str, PlannedJob], root: Path, data_root: Path | None
) -> Iterator[str]:
    missing = [path for path in job.output_paths if not (root / path).exists()]
    try:
        manifest = read_manifest(manifest_path(root / job.output_paths[0]))
    except PipelineError:
        manifest = None
    if manifest is None and len(missing) == len(job.outputs):
        yield "it does not exist yet"
    elif missing:
        yield f"missing: {_some(missing)}"
    if manifest is None:
        return
    lineage, code = manifest["lineage"], code_of(root, job.entry, job.settings)
    for line in differences(lineage["settings"], job.settings):
        yield re.sub(r"\b(\d+)\.0\b(?!\.)", r"\1", line).replace(" -> ", " → ")
    before, now = lineage["packages"]["versions"], code["packages"]["versions"]
    for name in changed_keys(before, now):
        yield f"{name} {before.get(name, 'not used')} → {now.get(name, 'not used')}"
    changed = changed_keys(lineage["source"]["files"], code["source"]["files"])
    # Another Python version writes every syntax tree differently.
    if changed and before.get("python") == now.get("python"):
        yield f"changed: {_some(changed)}"
    recorded = {file["path"]: file for file in recorded_files(manifest, "inputs")}
    for path in sorted(recorded.keys() - set(job.input_paths)):
        yield f"{path} is no longer an input"
    for path in job.input_paths:
        if path not in recorded:
            yield f"{path} is a new input"
        # only inputs of jobs that are about to run are hashed, which costs little beside the run
        elif path not in makers and _differs(local_path(path, root, data_root), recorded[path]):
            yield f"{path} changed"


def _differs(place: Path | None, recorded: Mapping[str, Any]) -> bool:
    if place is None or not place.is_file() or recorded["sha256"] is None:
        return False
    return place.stat().st_size != recorded["size"] or sha256_file(place) != recorded["sha256"]


def _some(paths: list[str]) -> str:
    more = len(paths) - 3
    return ", ".join(paths[:3]) + (f" and {more} more" if more > 0 else "")


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
