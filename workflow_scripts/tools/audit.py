"""Verify where computed files come from: python -m workflow_scripts.tools.audit [PATH…] [OPTIONS]

Prints the lineage of each PATH as a tree, down to the dataset, configuration, code and preregistration,
hashes every file on the way, and says pass or what does not match. Without a PATH: everything of the
configured study and preset. A PATH may be a computed file, a folder, a manifest, or a PNG or SVG figure
copied elsewhere. Exit code 0: all of it holds; 1: something does not match; 2: bad usage.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_file
from workflow_scripts.provenance.figure_identity import embedded_identity
from workflow_scripts.provenance.lineage import (
    Lineage,
    StepIndex,
    computed_files,
    study_of,
    trace,
    tree_lines,
)
from workflow_scripts.provenance.manifest import ELSEWHERE, SUFFIX, portable_path, read_manifest
from workflow_scripts.provenance.planned_jobs import PlannedJob, planned_files
from workflow_scripts.provenance.rerun import rerun
from workflow_scripts.provenance.verification import Problem, Verification, verify
from workflow_scripts.study.config import parse_overrides, read_config
from workflow_scripts.tools import command_line, errors_in_one_line, run


def main(argv: list[str] | None = None, root: Path = Path()) -> int:
    parser = command_line("audit", __doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--rerun-check", action="store_true", help="make each PATH again, compare the bytes")
    parser.add_argument("--expect", metavar="SHA256", help="the lineage_sha256 that one PATH must have")
    arguments = parser.parse_args(argv)
    if (arguments.rerun_check or arguments.expect) and not arguments.paths:
        parser.error("--rerun-check and --expect need a PATH")
    started = time.monotonic()
    with errors_in_one_line(2):
        study, preset, data_root = read_config(root, parse_overrides(arguments.config))
        found = Verification([], [], {})
        targets = resolve(root, arguments.paths, found)
        if not arguments.paths and not (targets := computed_files(root, study, preset)):
            raise PipelineError(
                f"nothing of {study}, preset {preset}, has been computed; run `make report PRESET={preset}`"
            )
    data_root = root / data_root
    lineage = _audit(root, targets, not arguments.paths, arguments.config, data_root, found)
    makers = {path: step for path in targets if (step := lineage.maker(path))}
    if arguments.rerun_check:
        for step in {step.path: step for step in makers.values()}.values():
            found.problems += rerun(lineage, step, data_root)
    roots = {path: step.lineage_sha256 for path, step in makers.items()}
    if arguments.expect and arguments.expect not in roots.values():
        said = f"its lineage is not the expected {arguments.expect[:12]}"
        found.problems.append(Problem(str(arguments.paths[0]), "identity", said))
    if arguments.json:
        shown = {
            "audit_version": 2,
            "roots": roots,
            "steps": {path: step.lineage_sha256 for path, step in lineage.steps.items()},
            "makers": lineage.makers,
            "passed": found.passed,
            "problems": [asdict(problem) for problem in found.problems],
            "notes": found.notes,
            "files": found.sums,
        }
        print(json.dumps(shown, sort_keys=True, indent=1, ensure_ascii=False))
    else:
        _print(lineage, found, roots if arguments.paths else None, time.monotonic() - started)
    return 0 if found.passed else 1


def resolve(root: Path, named: Iterable[Path], found: Verification) -> list[str]:
    """Find the files that the paths stand for: a file, a folder, a manifest (its outputs), a copied figure.

    Adds what a copied figure says to `found`. Raises PipelineError for a missing path, and for a file that
    no step made and that names no run.
    """
    targets: list[str] = []
    for path in named:
        name = portable_path(path, root)
        study = study_of(name if name.count("/") > 2 else f"{name}/")
        if study is None and path.is_dir() and not name.startswith(ELSEWHERE):
            raise PipelineError(f"{path} holds nothing that a step made; name a PATH in results/ or reports/")
        if study is None:
            targets += _copied_figure(root, path, found)
        elif path.is_dir():
            below = [file for file in computed_files(root, *study) if file.startswith(f"{name}/")]
            if not below:
                raise PipelineError(f"{path} holds nothing that a step made; run `make report` first")
            targets += below
        elif name.endswith(SUFFIX):
            targets += [file["path"] for file in read_manifest(path)["lineage"]["outputs"]]
        elif path.is_file() or (root / f"{name}{SUFFIX}").is_file() or StepIndex(root).makers(name):
            targets.append(name)
        else:
            raise PipelineError(f"{path} is not there, and no step's manifest names it")
    return list(dict.fromkeys(targets))


def _copied_figure(root: Path, path: Path, found: Verification) -> list[str]:
    """Compare a figure outside the project's folders with the one that it says it is; return that one."""
    if not path.is_file():
        raise PipelineError(f"{path} is not there")
    says = embedded_identity(path)
    if not {"study", "preset", "figure", "input_lineage_sha256"} <= says.keys():
        raise PipelineError(f"no step made {path}, and it does not say what run it belongs to")
    name = f"reports/{says['study']}/{says['preset']}/figures/{says['figure']}{path.suffix}"
    lineage_sha256 = str(says["input_lineage_sha256"])
    run = ", ".join(f"{key} {says.get(key)}" for key in ("study", "preset", "rule"))
    said = f"{path.name} says it is the figure {says['figure']} of {run}, lineage {lineage_sha256[:12]}"
    found.notes.append(said)
    makers = StepIndex(root).makers(name)
    if not makers:
        said = f"this project holds no such run: no step made {name}"
        found.problems.append(Problem(path.name, "identity", said))
        return []
    here = makers[0].input_lineage_sha256
    if here != lineage_sha256:
        said = f"belongs to another state of the run: {name} has the lineage {here[:12]}"
        found.problems.append(Problem(path.name, "identity", said))
    elif sha256_file(path) not in [file.sha256 for file in makers[0].outputs if file.path == name]:
        said = f"names its run, but its bytes are not those of {name}: it was changed"
        found.problems.append(Problem(path.name, "file", said))
    return [name]


def _audit(
    root: Path, targets: list[str], everything: bool, config: list[str], data_root: Path, found: Verification
) -> Lineage:
    """Plan and verify every study that the targets belong to; add to `found` what does not match."""
    planned: dict[str, PlannedJob] | None = {}
    unplanned: list[Problem] = []
    paths = list(targets)
    # settings of the machine, such as the data root, hold for every study
    others = [word for word in config if word.partition("=")[0] not in ("study", "preset")]
    for study, preset in trace(root, paths).studies:
        # the preregistration governs every file of a study, even those that are not made from the gate
        paths.append(f"results/{study}/{preset}/gate.json")
        try:
            planned |= planned_files(root, [f"study={study}", f"preset={preset}", *others])
        except PipelineError as error:
            unplanned.append(Problem(f"{study}, preset {preset}", "plan", str(error)))
    if everything:
        paths += [path for path in planned if (root / path).exists()]
    lineage = trace(root, dict.fromkeys(paths))
    checked = verify(lineage, None if unplanned else planned, data_root)
    found.problems += [*checked.problems, *unplanned]
    found.notes += checked.notes
    found.sums = checked.sums
    return lineage


def _print(lineage: Lineage, found: Verification, roots: dict[str, str] | None, wall_s: float) -> None:
    """Print notes and mismatches; with `roots`, of single paths, also their trees."""
    if roots is not None:
        for line in tree_lines(lineage, found.sums, found.by_path()):
            print(line)
        for path, sha256 in roots.items():
            print(f"root of {path}: {sha256}")
    for study, preset in lineage.studies:
        print(f"checked {study}, preset {preset}: files, manifests and their links, code, packages, settings")
    for note in dict.fromkeys(found.notes):
        print(f"note: {note}")
    for line in problem_lines(lineage, found.problems):
        print(line)
    counted = f"{len(lineage.steps)} steps, {len(found.sums)} files hashed, {wall_s:.1f} s"
    print(f"audit: {'pass' if found.passed else f'FAIL, {len(found.problems)} mismatches'} ({counted})")


def problem_lines(lineage: Lineage, problems: Iterable[Problem]) -> list[str]:
    """Return one line per problem; one that many steps share, such as a changed module, is said once."""
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        step = lineage.steps.get(problem.path)
        said = problem.message.replace(step.label, "") if step else problem.message
        kind = step.lineage["entry"] if step else problem.path
        groups.setdefault((kind, problem.check, said), []).append(problem)
    lines = []
    for first, *others in groups.values():
        steps = [lineage.steps.get(problem.path) for problem in others]
        labels = [step.label if step else problem.path for step, problem in zip(steps, others)]
        named = ", ".join(labels[:2]) + (", …" if len(labels) > 2 else "")
        more = f" (the same for {len(labels)} more: {named})" if labels else ""
        lines.append(f"MISMATCH {first.path}: {first.message}{more}")
    return lines


if __name__ == "__main__":
    run(main)
