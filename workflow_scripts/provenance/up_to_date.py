"""Whether what a step made still holds: what its manifest says against what the step would run with now.

Only manifests decide what runs again, so a study may be copied, unpacked or synced without `.snakemake`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from workflow_scripts.core.files import sha256_file
from workflow_scripts.provenance.lineage import FileRecord, StepIndex, StepRecord
from workflow_scripts.provenance.manifest import local_path
from workflow_scripts.provenance.packages import code_of
from workflow_scripts.provenance.planned_jobs import PlannedJob
from workflow_scripts.provenance.verification import changed_keys, differences


class UpToDate:
    """Compares jobs with the manifests below `root`; reads each manifest once, so make a new one per plan."""

    def __init__(self, root: Path, data_root: Path | None = None):
        self._root, self._data_root, self._index = root, data_root, StepIndex(root)

    def changes(self, job: PlannedJob, remade: Collection[str] = ()) -> Iterator[str]:
        """Say in words what keeps the job's outputs from holding; nothing if they hold.

        `remade` are files that will be made again; their present content does not count.
        """
        missing = [path for path in job.output_paths if not (self._root / path).exists()]
        step = self._maker(job)
        if step is None:
            yield "it does not exist yet" if len(missing) == len(job.outputs) else "its manifest is gone"
            return
        if missing:
            yield f"missing: {_some(missing)}"
        yield from self._differences(job, step)
        recorded = {file.path: file for file in step.inputs}
        written = {file.path for file in step.outputs}
        for path in sorted(set(job.output_paths) - written - set(missing)):
            yield f"{path} is a new output"
        for path in sorted(recorded.keys() - set(job.input_paths)):
            yield f"{path} is no longer an input"
        for path in job.input_paths:
            if path not in recorded:
                yield f"{path} is a new input"
            elif path not in remade and self._has_changed(recorded[path]):
                yield f"{path} changed"

    def input_sha256(self, job: PlannedJob, path: str) -> str | None:
        """Return the sum of an input as the manifest of the job's last run has it; None if there is none."""
        step = self._maker(job)
        inputs = step.inputs if step else []
        return next((file.sha256 for file in inputs if file.path == path), None)

    def _maker(self, job: PlannedJob) -> StepRecord | None:
        return next(iter(self._index.makers(job.output_paths[0])), None)

    def _differences(self, job: PlannedJob, step: StepRecord) -> Iterator[str]:
        """What changed but for the inputs' content."""
        lineage, code = step.lineage, code_of(self._root, job.entry, job.settings)
        for name in ("rule", "entry", "wildcards"):
            if lineage[name] != getattr(job, name):
                yield f"{name} {lineage[name]} → {getattr(job, name)}"
        for line in differences(lineage["settings"], job.settings):
            yield re.sub(r"\b(\d+)\.0\b(?!\.)", r"\1", line).replace(" -> ", " → ")
        before, now = lineage["packages"]["versions"], code["packages"]["versions"]
        for name in changed_keys(before, now):
            yield f"{name} {before.get(name, 'not used')} → {now.get(name, 'not used')}"
        changed = changed_keys(lineage["source"]["files"], code["source"]["files"])
        # Another Python version writes every syntax tree differently.
        if changed and before.get("python") == now.get("python"):
            yield f"changed: {_some(changed)}"

    def _has_changed(self, file: FileRecord) -> bool:
        """Whether an input's content is another one than was read. Hashes what no step made."""
        if file.sha256 is None:
            return False
        if makers := self._index.makers(file.path):
            return all(made.sha256 != file.sha256 for made in makers[0].outputs if made.path == file.path)
        place = local_path(file.path, self._root, self._data_root)
        if place is None or not place.is_file():
            return False
        return place.stat().st_size != file.size or sha256_file(place) != file.sha256


def _some(paths: list[str]) -> str:
    more = len(paths) - 3
    return ", ".join(paths[:3]) + (f" and {more} more" if more > 0 else "")
