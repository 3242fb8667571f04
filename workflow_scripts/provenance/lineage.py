"""Where files come from: the graph of files and of the steps that made them, read from manifests.

A graph reaches from the targets down to files that no step made: preregistrations, templates, data.
`verification.py` says whether it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json
from workflow_scripts.provenance.manifest import (
    SUFFIX,
    digest,
    read_manifest,
    recorded_files,
    study_manifests,
)

_STUDY_FILE = re.compile(r"(?:results|reports)/([^/]+)/([^/]+)/")


@dataclass(frozen=True)
class FileRecord:
    """A file in a manifest. Size and sum are null for a folder; `lineage_sha256` where no step made it."""

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

    @property
    def input_lineage_sha256(self) -> str:
        """One sum over everything in the lineage but the outputs, which a step knows before it works."""
        return digest({key: value for key, value in self.lineage.items() if key != "outputs"})

    @property
    def circumstances(self) -> dict[str, Any]:
        return self.manifest["circumstances"]

    @cached_property
    def inputs(self) -> list[FileRecord]:
        return self._files("inputs")

    @cached_property
    def outputs(self) -> list[FileRecord]:
        return self._files("outputs")

    @cached_property
    def label(self) -> str:
        """The rule and its wildcards: `train_model arm=E1_baseline_linear seed=1077`."""
        wildcards = (f"{name}={value}" for name, value in self.lineage["wildcards"].items())
        return " ".join([self.lineage["rule"], *wildcards])

    def dataset_facts(self, root: Path) -> dict[str, Any]:
        """Read the data manifest that the step wrote (data/prepare.py); empty if none or unreadable."""
        path = next((root / file.path for file in self.outputs if file.name == "manifest"), None)
        try:
            facts = read_json(path) if path else {}
        except PipelineError:
            return {}
        known = isinstance(facts, dict) and {"train", "test", "sources", "sources_sha256"} <= facts.keys()
        return facts if known else {}

    def _files(self, kind: str) -> list[FileRecord]:
        volatile = {file["path"] for file in self.circumstances[f"volatile_{kind}"]}
        keys = ("name", "path", "size", "sha256", "lineage_sha256")
        return [
            FileRecord(*(file.get(key) for key in keys), file["path"] in volatile)
            for file in recorded_files(self.manifest, kind)
        ]


@dataclass
class Lineage:
    """The graph. `steps` by manifest path, `makers` from file to manifest path.

    `damaged` says, by manifest path, why it cannot be read; `claimed_twice` holds the files that two
    manifests claim.
    """

    root: Path
    targets: list[str]
    steps: dict[str, StepRecord] = field(default_factory=dict)
    makers: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    claimed_twice: dict[str, list[str]] = field(default_factory=dict)

    def maker(self, path: str) -> StepRecord | None:
        """Return the step that made the file, None where none did."""
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
    """Return (study, preset) from a computed file's path, None for any other path."""
    found = _STUDY_FILE.match(path)
    return (found[1], found[2]) if found else None


def computed_files(root: Path, study: str, preset: str) -> list[str]:
    """Return every file, gone or not, that the manifests of a study and preset name as an output; sorted.

    A manifest whose outputs are all gone (deleted by Snakemake, say) is ignored.
    """
    index = StepIndex(root)
    found: set[str] = set()
    for path in study_manifests(root, study, preset):
        step = index.step(path)
        if step is None:
            found.add(path.relative_to(root).as_posix().removesuffix(SUFFIX))
        elif any((root / file.path).exists() for file in step.outputs):
            found |= {file.path for file in step.outputs}
    return sorted(found)


def trace(root: Path, targets: Iterable[str]) -> Lineage:
    """Return the lineage of `targets`, paths as in manifests. Damaged manifests are noted, never raised."""
    targets = list(targets)
    index = StepIndex(root)
    lineage = Lineage(root, targets)
    waiting, seen = list(reversed(targets)), set()
    while waiting:
        if (path := waiting.pop()) in seen:
            continue
        seen.add(path)
        makers = index.makers(path)
        if len(makers) > 1:
            lineage.claimed_twice[path] = [maker.path for maker in makers]
        if makers:
            step = makers[0]
            lineage.steps.setdefault(step.path, step)
            lineage.makers[path] = step.path
            waiting.extend(file.path for file in reversed([*step.outputs, *step.inputs]))
    # a damaged manifest of another file in the same folder does not belong to this lineage
    lineage.damaged = {path: why for path, why in index.damaged.items() if path.removesuffix(SUFFIX) in seen}
    return lineage


class StepIndex:
    """Steps by the files that they made. Each manifest is read once, when its folder is first needed."""

    def __init__(self, root: Path):
        self.root = root
        self.damaged: dict[str, str] = {}
        self._steps: dict[Path, StepRecord | None] = {}
        self._by_output: dict[str, list[StepRecord]] = {}
        self._folders: set[Path] = set()

    def makers(self, path: str) -> list[StepRecord]:
        """Return the steps that say they made the file; their manifests lie in its folder or one above it."""
        parts = Path(path).parts
        # nothing is computed outside these two folders, and the rest of the project may be large
        if parts[:1] in (("results",), ("reports",)) and ".." not in parts:
            for folder in (self.root / part for part in Path(path).parents):
                if folder not in self._folders:
                    self._folders.add(folder)
                    for found in sorted(folder.glob(f"*{SUFFIX}")):
                        self.step(found)
        return self._by_output.get(path, [])

    def step(self, path: Path) -> StepRecord | None:
        """Return the step of one manifest; None, and a note in `damaged`, where it cannot be read."""
        if path not in self._steps:
            relative = path.relative_to(self.root).as_posix()
            try:
                self._steps[path] = step = StepRecord(relative, read_manifest(path))
            except PipelineError as error:
                self.damaged[relative] = str(error).replace(str(path), relative)
                self._steps[path] = None
            else:
                for file in step.outputs:
                    self._by_output.setdefault(file.path, []).append(step)
        return self._steps[path]


def tree_lines(
    lineage: Lineage, sums: Mapping[str, str | None], problems: Mapping[str, list[str]]
) -> list[str]:
    """Return one line per file (sum, whether it holds) and step (code, settings) of the graph.

    `sums` and `problems` are what a verification found, by path. A step that was printed before is referred
    to by its number, `[12]`.
    """
    numbers: dict[str, int] = {}

    def said(path: str) -> str:
        found = "".join(f"\n      !! {message}" for message in problems.get(path, []))
        return found or ("  ok" if sums.get(path) else "")

    def lines(path: str, head: str, indent: str) -> Iterator[str]:
        step = lineage.maker(path)
        records = step.outputs if step else [file for _, file in lineage.consumers.get(path, [])]
        kind = "" if step else "  (no step made it)"
        if any(record.path == path and record.volatile for record in records):
            kind += "  (measured, outside the chain)"
        yield f"{head}{path}  {(sums.get(path) or '-')[:12]}{kind}{said(path)}"
        if step is None:
            return
        if step.path in numbers:
            yield f"{indent}└─ [{numbers[step.path]}] {step.label}, see above"
            return
        numbers[step.path] = len(numbers) + 1
        yield f"{indent}└─ [{numbers[step.path]}] {_step_words(step)}{said(step.path)}"
        deeper = indent + "   "
        if data := step.dataset_facts(lineage.root):
            branch = "├─" if step.inputs else "└─"
            parts = (data["train"]["sha256"], data["test"]["sha256"], data["sources_sha256"])
            words = "training images {:.12}, test images {:.12}, source files {:.12}".format(*parts)
            yield f"{deeper}{branch} dataset {data['title']}: {words}"
        for file in step.inputs:
            branch, gap = ("└─ ", "   ") if file is step.inputs[-1] else ("├─ ", "│  ")
            yield from lines(file.path, deeper + branch, deeper + gap)

    return [line for target in lineage.targets for line in lines(target, "", "")]


def _step_words(step: StepRecord) -> str:
    commit = step.circumstances.get("commit")
    changed = " with changes" if step.circumstances.get("tree_clean") is False else ""
    at = f", commit {commit[:10]}{changed}" if commit else ""
    code, settings = str(step.lineage["source"]["digest"])[:12], digest(step.lineage["settings"])[:12]
    return f"{step.label}: code {code}, settings {settings}, lineage {step.lineage_sha256[:12]}{at}"
