"""Why a job would run, in words: what its last manifest recorded against what it would run with now.

Snakemake says only that something changed. Where no manifest says what a step ran with, this says less, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_file
from workflow_scripts.provenance.manifest import manifest_path, read_manifest
from workflow_scripts.provenance.planned_jobs import PlannedJob
from workflow_scripts.provenance.project_paths import local_path
from workflow_scripts.provenance.verification import differences


@dataclass(frozen=True)
class Reasons:
    """Why one job would run: `own` reasons in words, and the rules before it (`follows`) whose files it waits for."""

    own: tuple[str, ...]
    follows: tuple[str, ...]


def reasons_of(
    job: PlannedJob, makers: Mapping[str, PlannedJob], root: Path, data_root: Path | None = None
) -> Reasons:
    """Why `job` would run. `makers`: file -> the planned job that would make it."""
    follows = tuple(sorted({makers[path].rule for path in job.inputs if path in makers}))
    manifest = last_manifest(job, root)
    missing = [path for path in job.outputs if not (root / path).exists()]
    if len(missing) == len(job.outputs):
        own = ["there is none yet"] if manifest is None else [f"missing: {_some(missing)}"]
    else:
        own = [f"missing: {_some(missing)}"] if missing else []
    own += _changes(job, manifest, makers, root, data_root) if manifest else []
    if not own and not follows:
        own = [_snakemakes_words(job.reason)]
    return Reasons(tuple(own), follows)


def last_manifest(job: PlannedJob, root: Path) -> dict[str, Any] | None:
    """The manifest of the job's last run, None where there is none or it cannot be read."""
    try:
        return read_manifest(manifest_path(root / job.outputs[0]))
    except PipelineError:
        return None


def _changes(
    job: PlannedJob,
    manifest: Mapping[str, Any],
    makers: Mapping[str, PlannedJob],
    root: Path,
    data_root: Path | None,
) -> Iterator[str]:
    lineage = manifest["lineage"]
    for line in differences(lineage["settings"], job.command.settings):
        yield re.sub(r"\b(\d+)\.0\b(?!\.)", r"\1", line).replace(" -> ", " → ")
    before, now = lineage["packages"].get("versions", {}), job.packages["versions"]
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield f"{name} {before.get(name, 'not used')} → {now.get(name, 'not used')}"
    if before.get("python") == now.get("python"):  # another Python writes every syntax tree in another way
        files, files_now = lineage["source"]["files"], job.source["files"]
        changed = sorted(path for path in {*files, *files_now} if files.get(path) != files_now.get(path))
        if changed:
            yield f"changed: {_some(changed)}"
    yield from _changed_inputs(job, manifest, makers, root, data_root)


def _changed_inputs(
    job: PlannedJob,
    manifest: Mapping[str, Any],
    makers: Mapping[str, PlannedJob],
    root: Path,
    data_root: Path | None,
) -> Iterator[str]:
    recorded = {
        file["path"]: file
        for file in (*manifest["lineage"]["inputs"], *manifest["circumstances"]["volatile_inputs"])
    }
    for path in sorted(recorded.keys() - set(job.inputs)):
        yield f"{path} is no input any more"
    for path in job.inputs:
        place = local_path(path, root, data_root)
        if path not in recorded:
            yield f"{path} is a new input"
        elif (
            path not in makers
            and place is not None
            and place.is_file()
            and recorded[path]["sha256"] is not None
        ):
            # only what is about to run is looked at, so that hashing its inputs costs little beside the run
            if (
                place.stat().st_size != recorded[path]["size"]
                or sha256_file(place) != recorded[path]["sha256"]
            ):
                yield f"{path} changed"


def _snakemakes_words(reason: str) -> str:
    known = {
        "Params have changed": "its settings, code or packages changed (no manifest says what they were)",
        "Code has changed": "its command in the rules changed",
        "Updated input files": "its input files changed",
        "Incomplete output": "its last run was cut off",
        "Forced": "it is forced",
    }
    found = [words for start, words in known.items() if start in reason]
    return ", ".join(found) or (reason.split(":")[0].lower() or "Snakemake does not say why")


def _some(paths: list[str]) -> str:
    """The first paths and how many more."""
    more = len(paths) - 3
    return ", ".join(paths[:3]) + (f" and {more} more" if more > 0 else "")
