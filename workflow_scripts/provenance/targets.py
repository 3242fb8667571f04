"""From what a person names to the files of the project that are audited."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_file
from workflow_scripts.provenance.figure_identity import embedded_identity
from workflow_scripts.provenance.lineage import computed_files, study_of
from workflow_scripts.provenance.manifest import (
    SUFFIX,
    find_maker,
    input_lineage_sha256,
    output_files,
    read_manifest,
)
from workflow_scripts.provenance.project_paths import ELSEWHERE, portable_path
from workflow_scripts.provenance.verification import Problem


@dataclass
class Targets:
    """Paths as manifests name them, in order; what was found out on the way, and what already does not match."""

    paths: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, paths: Iterable[str]) -> None:
        self.paths = list(dict.fromkeys([*self.paths, *paths]))


def resolve(root: Path, named: Iterable[Path]) -> Targets:
    """What `named` stands for: a computed file, a folder of them, a manifest (its outputs), or a copy of a figure.

    PipelineError, one line, for a path that is not there, and for a file that no step made and that names no run.
    """
    targets = Targets()
    for path in named:
        name = portable_path(path, root)
        if study_of(name if name.count("/") > 2 else f"{name}/"):
            _computed(root, path, name, targets)
        elif path.is_dir() and not name.startswith(ELSEWHERE):
            raise PipelineError(
                f"{path} holds nothing that a step made; name a file or folder below results/ or reports/"
            )
        else:
            _copy_of_a_figure(root, path, targets)
    return targets


def _computed(root: Path, path: Path, name: str, targets: Targets) -> None:
    if path.is_dir():
        study, preset = study_of(f"{name}/")
        below = [file for file in computed_files(root, study, preset) if file.startswith(f"{name}/")]
        if not below:
            raise PipelineError(f"{path} holds nothing that a step made; run `make report` first")
        targets.add(below)
    elif name.endswith(SUFFIX):
        targets.add(file["path"] for file in output_files(read_manifest(path)))
    elif path.is_file() or (root / f"{name}{SUFFIX}").is_file() or find_maker(name, root):
        targets.add([name])
    else:
        raise PipelineError(f"{path} is not there, and no step's manifest names it")


def _copy_of_a_figure(root: Path, path: Path, targets: Targets) -> None:
    """A figure outside the project's folders leads back to its run by what it carries inside."""
    if not path.is_file():
        raise PipelineError(f"{path} is not there")
    says = embedded_identity(path)
    if not {"study", "preset", "figure", "input_lineage_sha256"} <= says.keys():
        raise PipelineError(f"no step made {path}, and it does not say what run it belongs to")
    name = f"reports/{says['study']}/{says['preset']}/figures/{says['figure']}{path.suffix}"
    run = f"study {says['study']}, preset {says['preset']}, rule {says['rule']}, lineage {str(says['input_lineage_sha256'])[:12]}"
    targets.notes.append(f"{path.name} says it is the figure {says['figure']} of {run}")
    maker = find_maker(name, root) if not os.path.isabs(name) and ".." not in Path(name).parts else None
    if maker is None:
        targets.problems.append(
            Problem(path.name, "identity", f"this project holds no such run: no step made {name}")
        )
        return
    targets.add([name])
    made = read_manifest(maker)
    here = input_lineage_sha256(made["lineage"])
    if here != says["input_lineage_sha256"]:
        targets.problems.append(
            Problem(
                path.name,
                "identity",
                f"belongs to another state of the run: {name} has the lineage {here[:12]}",
            )
        )
    elif sha256_file(path) != next(file["sha256"] for file in output_files(made) if file["path"] == name):
        targets.problems.append(
            Problem(
                path.name, "file", f"names its run, but its bytes are not those of {name}: it was changed"
            )
        )
