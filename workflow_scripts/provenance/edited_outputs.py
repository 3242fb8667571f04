"""Computed files that are no longer what their step wrote: edited by hand, damaged, or exchanged.

A file whose size is the recorded one and that is no younger than its step's manifest is believed without hashing it, so
that this takes no time before every run; `make audit` hashes everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_file
from workflow_scripts.provenance.manifest import manifest_path, output_files, read_manifest


@dataclass(frozen=True)
class EditedOutput:
    """A file, relative to the project, and the sums that it has and should have."""

    path: str
    now: str
    recorded: str

    def __str__(self) -> str:
        return (
            f"{self.path} is not what its step wrote (sha256 {self.now[:12]}, written was {self.recorded[:12]}); "
            "delete it to have it made again, or put it back"
        )


def edited_outputs(root: Path, first_outputs: Iterable[str]) -> list[EditedOutput]:
    """The edited files among all outputs of the steps whose first outputs these are; sorted.

    Steps without a readable manifest say nothing, and neither do files that are gone: those are made again anyway.
    """
    found = []
    for first in sorted(set(first_outputs)):
        path = manifest_path(root / first)
        try:
            manifest = read_manifest(path)
            written = path.stat().st_mtime_ns
        except (PipelineError, OSError):
            continue
        for file in output_files(manifest):
            here = root / file["path"]
            if not here.is_file() or file["sha256"] is None:
                continue
            stat = here.stat()
            if stat.st_size == file["size"] and stat.st_mtime_ns <= written:
                continue
            if (now := sha256_file(here)) != file["sha256"]:
                found.append(EditedOutput(file["path"], now, file["sha256"]))
    return found
