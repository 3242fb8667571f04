"""Where files come from: the graph of files and the steps that made them, read from manifests. It verifies nothing.

A graph reaches from the targets down to what no step made: preregistrations, templates, the data root. `verification.py`
says whether it holds, `tree.py` prints it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.provenance import manifest as manifests

_STUDY_FILE = re.compile(r"(?:results|reports)/([^/]+)/([^/]+)/")


@dataclass(frozen=True)
class FileRecord:
    """A file as a manifest names it. Size and sum are null for a folder; `lineage_sha256` where no step made it."""

    name: str
    path: str
    size: int | None
    sha256: str | None
    lineage_sha256: str | None = None
    volatile: bool = False


@dataclass(frozen=True)
class StepRecord:
    """A step that ran: its manifest, and where that lies relative to the project."""

    path: str
    manifest: dict[str, Any] = field(repr=False)

    @property
    def lineage(self) -> dict[str, Any]:
        return self.manifest["lineage"]

    @property
    def lineage_sha256(self) -> str:
        return self.manifest["lineage_sha256"]

    @cached_property
    def inputs(self) -> list[FileRecord]:
        return self._files("inputs", manifests.input_files(self.manifest))

    @cached_property
    def outputs(self) -> list[FileRecord]:
        return self._files("outputs", manifests.output_files(self.manifest))

    @cached_property
    def label(self) -> str:
        """The rule and its wildcards: `train_model arm=E1_baseline_linear seed=1077`."""
        return " ".join(
            [
                str(self.lineage["rule"]),
                *(f"{name}={value}" for name, value in self.lineage["wildcards"].items()),
            ]
        )

    def _files(self, kind: str, files: list[dict[str, Any]]) -> list[FileRecord]:
        volatile = {file["path"] for file in self.manifest["circumstances"][f"volatile_{kind}"]}
        return [
            FileRecord(
                f["name"],
                f["path"],
                f.get("size"),
                f["sha256"],
                f.get("lineage_sha256"),
                f["path"] in volatile,
            )
            for f in files
        ]


@dataclass
class Lineage:
    """The graph. `steps` by manifest path, `makers` from file to manifest path.

    `damaged` holds, by manifest path, why it cannot be read; `claimed_twice` the files that two manifests say they made.
    """

    root: Path
    targets: list[str]
    steps: dict[str, StepRecord] = field(default_factory=dict)
    makers: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    claimed_twice: dict[str, list[str]] = field(default_factory=dict)

    def maker(self, path: str) -> StepRecord | None:
        """The step that made the file, None where none did."""
        return self.steps.get(self.makers.get(path, ""))

    @cached_property
    def consumers(self) -> dict[str, list[tuple[StepRecord, FileRecord]]]:
        """Every file that a step read -> the steps that read it, with what each recorded of it."""
        found: dict[str, list[tuple[StepRecord, FileRecord]]] = {}
        for step in self.steps.values():
            for file in step.inputs:
                found.setdefault(file.path, []).append((step, file))
        return found

    @property
    def studies(self) -> list[tuple[str, str]]:
        """(study, preset) of the targets and of every file that a step made."""
        names = [*self.targets, *(file.path for step in self.steps.values() for file in step.outputs)]
        return sorted({study for name in names if (study := study_of(name))})


def study_of(path: str) -> tuple[str, str] | None:
    """(study, preset) from a computed file's path, None where the path is of another kind."""
    found = _STUDY_FILE.match(path)
    return (found.group(1), found.group(2)) if found else None


def computed_files(root: Path, study: str, preset: str) -> list[str]:
    """Every file that the manifests of a study and preset name as an output, sorted, gone or not.

    A manifest whose outputs are all gone (deleted by Snakemake, say) is ignored.
    """
    index = _Index(root)
    found: set[str] = set()
    for folder in (f"results/{study}/{preset}", f"reports/{study}/{preset}"):
        for path in sorted((root / folder).rglob(f"*{manifests.SUFFIX}")):
            step = index.step(path)
            if step is None:
                found.add(path.relative_to(root).as_posix().removesuffix(manifests.SUFFIX))
            elif any((root / file.path).exists() for file in step.outputs):
                found |= {file.path for file in step.outputs}
    return sorted(found)


def trace(root: Path, targets: Iterable[str]) -> Lineage:
    """The lineage of `targets`, paths as manifests name them. Damaged manifests are noted in it, never raised."""
    targets = list(targets)
    index = _Index(root)
    lineage = Lineage(root, targets)
    waiting, seen = list(reversed(targets)), set()
    while waiting:
        if (path := waiting.pop()) in seen:
            continue
        seen.add(path)
        claims = index.claims(path)
        if len(claims) > 1:
            lineage.claimed_twice[path] = [claim.path for claim in claims]
        if claims:
            step = claims[0]
            lineage.steps.setdefault(step.path, step)
            lineage.makers[path] = step.path
            waiting.extend(
                file.path for file in reversed([*step.outputs, *step.inputs]) if file.path not in seen
            )
    # a damaged manifest of something else in the same folder is not this lineage's
    lineage.damaged = {
        path: said for path, said in index.damaged.items() if path.removesuffix(manifests.SUFFIX) in seen
    }
    return lineage


class _Index:
    """Manifests by the files they name as outputs; each is read once, folder by folder, as they are asked for."""

    def __init__(self, root: Path):
        self.root = root
        self.damaged: dict[str, str] = {}
        self._steps: dict[Path, StepRecord | None] = {}
        self._by_output: dict[str, list[StepRecord]] = {}
        self._folders: set[Path] = set()

    def claims(self, path: str) -> list[StepRecord]:
        """The steps that say they made the file; their manifests lie in its folder or one above it."""
        for folder in self._folders_above(path):
            self._folders.add(folder)
            for found in sorted(folder.glob(f"*{manifests.SUFFIX}")):
                self.step(found)
        return self._by_output.get(path, [])

    def step(self, path: Path) -> StepRecord | None:
        """The step of one manifest, None (and a note in `damaged`) where it cannot be read."""
        if path not in self._steps:
            relative = path.relative_to(self.root).as_posix()
            try:
                self._steps[path] = step = StepRecord(relative, manifests.read_manifest(path))
            except PipelineError as error:
                self.damaged[relative] = str(error).replace(str(path), relative)
                self._steps[path] = None
            else:
                for file in step.outputs:
                    self._by_output.setdefault(file.path, []).append(step)
        return self._steps[path]

    def _folders_above(self, path: str) -> Iterator[Path]:
        # nothing is computed outside these two folders, and the rest of the project may be large
        if path.partition("/")[0] in ("results", "reports"):
            yield from (
                folder for part in Path(path).parents if (folder := self.root / part) not in self._folders
            )
