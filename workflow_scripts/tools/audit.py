"""Verify where computed files come from: python -m workflow_scripts.tools.audit [PATH…] [--config KEY=VALUE…] [--json] …

Prints the lineage of each PATH as a tree, down to the dataset, configuration, code and preregistration, hashes every
file on the way, and says pass or what does not match. Without a PATH: everything of the configured study and preset.
A PATH may be a computed file, a folder, a manifest, or a PNG or SVG figure found elsewhere. Exit code 0: all of it
holds; 1: something does not match; 2: bad usage.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.provenance.lineage import Lineage, computed_files, trace
from workflow_scripts.provenance.planned_commands import PlannedCommand, planned_commands
from workflow_scripts.provenance.rerun import rerun
from workflow_scripts.provenance.targets import Targets, resolve
from workflow_scripts.provenance.tree import graph, problem_lines, tree_lines
from workflow_scripts.provenance.verification import Problem, Verification, verify
from workflow_scripts.study.config import parse_overrides, read_config


def main(argv: list[str] | None = None, root: Path = Path()) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m workflow_scripts.tools.audit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    parser.add_argument(
        "--config", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="as for Snakemake"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument(
        "--rerun-check", action="store_true", help="also make each PATH again and compare the bytes"
    )
    parser.add_argument(
        "--expect", metavar="SHA256", help="fail unless this is the lineage_sha256 behind one PATH"
    )
    arguments = parser.parse_args(argv)
    if (arguments.rerun_check or arguments.expect) and not arguments.paths:
        parser.error("--rerun-check and --expect need a PATH")
    started = time.monotonic()
    try:
        study, preset, data_root = read_config(root, parse_overrides(arguments.config))
        data_root = root / data_root
        targets = resolve(root, arguments.paths) if arguments.paths else _everything(root, study, preset)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    lineage, found = _audit(root, targets, not arguments.paths, arguments.config, data_root)
    if arguments.rerun_check:
        found.problems += _rerun(lineage, targets, data_root)
    roots = {path: step.lineage_sha256 for path in targets.paths if (step := lineage.maker(path))}
    if arguments.expect and arguments.expect not in roots.values():
        found.problems.append(
            Problem(str(arguments.paths[0]), "identity", f"the lineage {arguments.expect[:12]} is expected")
        )
    if arguments.json:
        print(json.dumps(_as_json(lineage, found, roots), sort_keys=True, indent=1, ensure_ascii=False))
    else:
        _print(lineage, found, roots, bool(arguments.paths), time.monotonic() - started)
    return 0 if found.passed else 1


def _everything(root: Path, study: str, preset: str) -> Targets:
    paths = computed_files(root, study, preset)
    if not paths:
        raise PipelineError(
            f"nothing of {study}, preset {preset}, has been computed; run `make report PRESET={preset}` first"
        )
    return Targets(paths)


def _audit(
    root: Path, targets: Targets, everything: bool, config: list[str], data_root: Path
) -> tuple[Lineage, Verification]:
    planned: dict[str, PlannedCommand] = {}
    unplanned: list[Problem] = []
    paths = list(targets.paths)
    for study, preset in trace(root, paths).studies:
        # the preregistration governs every file of a study, also those that are not made from the gate
        paths.append(f"results/{study}/{preset}/gate.json")
        # what is not said of the configured study, such as the data root, holds for the others as well
        others = [word for word in config if word.partition("=")[0] not in ("study", "preset")]
        try:
            planned |= planned_commands(root, [f"study={study}", f"preset={preset}", *others])
        except PipelineError as error:
            unplanned.append(Problem(f"{study}, preset {preset}", "plan", str(error)))
    if everything:
        paths += [path for path in planned if (root / path).exists()]
    lineage = trace(root, dict.fromkeys(paths))
    found = verify(lineage, None if unplanned else planned, data_root)
    found.problems += [*targets.problems, *unplanned]
    found.notes += targets.notes
    return lineage, found


def _rerun(lineage: Lineage, targets: Targets, data_root: Path) -> list[Problem]:
    steps = {step.path: step for path in targets.paths if (step := lineage.maker(path))}
    return [problem for step in steps.values() for problem in rerun(lineage, step, data_root)]


def _as_json(lineage: Lineage, found: Verification, roots: dict[str, str]) -> dict[str, Any]:
    return {"audit_version": 1, **found.as_json(), "roots": roots, **graph(lineage, found)}


def _print(lineage: Lineage, found: Verification, roots: dict[str, str], tree: bool, wall_s: float) -> None:
    for line in tree_lines(lineage, found) if tree else []:
        print(line)
    for path, sha256 in roots.items() if tree else []:
        print(f"root of {path}: {sha256}")
    for study, preset in lineage.studies:
        print(
            f"checked {study}, preset {preset}: files, manifests and their links, code, packages, settings against config/"
        )
    for note in dict.fromkeys(found.notes):
        print(f"note: {note}")
    for line in problem_lines(lineage, found):
        print(line)
    counted = f"{len(lineage.steps)} steps, {len(found.sums)} files hashed, {wall_s:.1f} s"
    print(f"audit: {'pass' if found.passed else f'FAIL, {len(found.problems)} mismatches'} ({counted})")


if __name__ == "__main__":
    sys.exit(main())
