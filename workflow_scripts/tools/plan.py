"""Say what a run would do before it does it: python -m workflow_scripts.tools.plan [--config KEY=VALUE…] [--cores N]

Prints which jobs would run, why (which setting, module, package or file changed), and what they cost by how long they
took before; what would be downloaded first; then what would stop the run: a closed gate, edited files, a dataset or
weights that are not there or damaged. Whether GPU and memory suffice is looked at when a run starts. Runs nothing. Exit
code 0: the run could start, or has nothing to do; 1: it could not; 2: bad usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.source_files import require_source
from workflow_scripts.data.sources import load_source, to_download
from workflow_scripts.provenance.edited_outputs import edited_outputs
from workflow_scripts.provenance.manifest import SUFFIX, read_manifest
from workflow_scripts.provenance.packages import lock_differences
from workflow_scripts.provenance.plan_words import Explained, plan_lines, total_words
from workflow_scripts.provenance.planned_jobs import PlannedJob, planned_jobs
from workflow_scripts.provenance.project_paths import local_path
from workflow_scripts.provenance.why_planned import last_manifest, reasons_of
from workflow_scripts.study.config import Study, load_study, parse_overrides, read_config
from workflow_scripts.study.description import gate_settings
from workflow_scripts.study.gate import open_gate
from workflow_scripts.study.preregistration import read_preregistrations


def main(argv: list[str] | None = None, root: Path = Path()) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m workflow_scripts.tools.plan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="as for Snakemake"
    )
    parser.add_argument("--cores", type=int, default=1, help="how many jobs would run at once")
    arguments = parser.parse_args(argv)
    if arguments.cores < 1 or any("=" not in word for word in arguments.config):
        parser.error("--cores is at least 1, and --config takes KEY=VALUE")
    try:
        study, preset, data_root = read_config(root, parse_overrides(arguments.config))
        loaded = load_study(root, study, preset)
        jobs = planned_jobs(root, arguments.config)
        makers = {path: job for job in jobs for path in job.outputs}
        manifests = computed_by(root, study, preset)
        durations = past_durations(manifests.values())
        explained = [
            Explained(
                job,
                reasons_of(job, makers, root, data_root),
                seconds_of(job, last_manifest(job, root), durations),
            )
            for job in jobs
        ]
        downloads, not_to_be_had = supply_words(
            root, jobs, data_root, loaded.shared("extractor").get("weights")
        )
        stops = [*gate_problems(root, loaded), *edited_problems(root, manifests, makers), *not_to_be_had]
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"{study}, preset {preset}: "
        + (f"{len(jobs)} jobs, {total_words(explained, arguments.cores)}" if jobs else "nothing to do")
    )
    for line in plan_lines(explained):
        print(f"  {line}")
    for line in downloads:
        print(f"  first: {line}")
    for line in lock_differences(root, {name for job in jobs for name in job.packages["versions"]}):
        print(f"warning: {line}; results are those of what is installed", file=sys.stderr)
    for line in stops:
        print(f"error: {line}", file=sys.stderr)
    return 1 if stops else 0


def computed_by(root: Path, study: str, preset: str) -> dict[str, dict[str, Any]]:
    """First output -> manifest of every step that has one, in the study's results and report; unreadable ones left out."""
    found = {}
    for folder in (root / "results" / study / preset, root / "reports" / study / preset):
        for path in sorted(folder.rglob(f"*{SUFFIX}")):
            try:
                found[path.relative_to(root).as_posix().removesuffix(SUFFIX)] = read_manifest(path)
            except PipelineError:
                continue  # the audit reports it
    return found


def past_durations(manifests: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Rule -> mean seconds of work over all of its runs that left a manifest."""
    found: dict[str, list[float]] = defaultdict(list)
    for manifest in manifests:
        if (seconds := _wall_s(manifest)) is not None:
            found[manifest["lineage"]["rule"]].append(seconds)
    return {rule: sum(seconds) / len(seconds) for rule, seconds in found.items()}


def seconds_of(
    job: PlannedJob, manifest: Mapping[str, Any] | None, durations: Mapping[str, float]
) -> float | None:
    """How long this job took before, else what its rule took on average, else None."""
    before = _wall_s(manifest) if manifest else None
    return durations.get(job.rule) if before is None else before


def _wall_s(manifest: Mapping[str, Any]) -> float | None:
    seconds = manifest["circumstances"].get("wall_s")
    return float(seconds) if isinstance(seconds, int | float) else None


def supply_words(
    root: Path, jobs: Sequence[PlannedJob], data_root: Path, own_weights: str | None
) -> tuple[list[str], list[str]]:
    """What the run would download before its first job, and why it would stop there: what it cannot have or is damaged."""
    downloads, problems = [], []
    for job in jobs:
        if job.rule == "prepare_data":
            data = job.command.settings["data"]
            addresses = to_download(data, data_root)
            downloads += [f"download {address} to {data_root}" for address in addresses]
            problems += [] if addresses else _refusals(check_source, data, data_root)
        for name, path in job.command.inputs:
            if name == "inception" and own_weights is not None and not (root / own_weights).is_file():
                problems.append(
                    f"{own_weights}, which extractor.weights names, is missing; put the Inception weights there"
                )
            if (
                name == "inception"
                and own_weights is None
                and not (place := local_path(path, root, data_root)).is_file()
            ):
                downloads.append(f"download the Inception weights to {place}")
    return downloads, problems


def check_source(data: Mapping[str, Any], data_root: Path) -> None:
    """PipelineError where the dataset's files are missing or damaged; a user's own images are only looked for and hashed."""
    if data["source"] == "image_folder":
        require_source(data_root / data["path"], data.get("sha256"))
    else:
        load_source(data, data_root)


def _refusals(function: Callable[..., object], *arguments: Any) -> list[str]:
    try:
        function(*arguments)
    except PipelineError as error:
        return [str(error)]
    return []


def gate_problems(root: Path, study: Study) -> list[str]:
    """Why the gate is closed, if it is."""
    return _refusals(lambda: open_gate(root, gate_settings(root, study, read_preregistrations(root, study))))


def edited_problems(root: Path, manifests: Mapping[str, Any], makers: Mapping[str, PlannedJob]) -> list[str]:
    """One line per computed file that was edited and is not about to be made again; no run computes from such a file."""
    return [str(found) for found in edited_outputs(root, manifests) if found.path not in makers]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # who read along has seen enough, as `head` does
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # nothing is left to say when Python flushes
        sys.exit(1)
