"""Say what a run would do: python -m workflow_scripts.tools.plan [--config KEY=VALUE…] [--cores N]

Prints which jobs would run, why (which setting, module, package or file changed), and how long they took
before; what would be downloaded first; then what would stop the run: a closed gate, edited files, a dataset
or weights that are missing or damaged. Only a run checks whether there is a GPU. Runs nothing. Exit
code 0: the run could start, or has nothing to do; 1: it could not; 2: bad usage.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.data.prepare import require_files
from workflow_scripts.data.published import to_download
from workflow_scripts.provenance.manifest import edited_outputs, local_path, read_manifest, study_manifests
from workflow_scripts.provenance.packages import code_of, lock_differences
from workflow_scripts.provenance.planned_jobs import PlannedJob, planned_jobs
from workflow_scripts.provenance.why_planned import explain, plan_lines, total_words
from workflow_scripts.study.config import load_study, parse_overrides, read_config
from workflow_scripts.study.description import gate_settings
from workflow_scripts.study.gate import open_gate
from workflow_scripts.study.preregistration import read_preregistrations
from workflow_scripts.tools import command_line, errors_in_one_line, run


@errors_in_one_line()
def main(argv: list[str] | None = None, root: Path = Path()) -> int:
    parser = command_line("plan", __doc__)
    parser.add_argument("--cores", type=int, default=1, help="how many jobs would run at once")
    arguments = parser.parse_args(argv)
    if arguments.cores < 1 or any("=" not in word for word in arguments.config):
        parser.error("--cores is at least 1, and --config takes KEY=VALUE")
    name, preset, data_root = read_config(root, parse_overrides(arguments.config))
    study = load_study(root, name, preset)
    jobs = planned_jobs(root, arguments.config)
    manifests = study_manifests(root, name, preset)
    explained = explain(jobs, root, data_root, mean_seconds(manifests))
    downloads, stops = supply_words(root, jobs, data_root, study.shared("extractor").get("weights"))
    gate = gate_settings(root, study, read_preregistrations(root, name))
    remade = {path for job in jobs for path in job.output_paths}
    edited = [said for path, said in edited_outputs(root, manifests).items() if path not in remade]
    stops = [*_refusal(open_gate, root, gate), *edited, *stops]
    packages = {
        name for job in jobs for name in code_of(root, job.entry, job.settings)["packages"]["versions"]
    }
    total = f"{len(jobs)} jobs, {total_words(explained, arguments.cores)}" if jobs else "nothing to do"
    print(f"{name}, preset {preset}: {total}")
    for line in plan_lines(explained):
        print(f"  {line}")
    for line in downloads:
        print(f"  first: {line}")
    for line in lock_differences(root, packages):
        print(f"warning: {line}; results are those of what is installed", file=sys.stderr)
    for line in stops:
        print(f"error: {line}", file=sys.stderr)
    return 1 if stops else 0


def mean_seconds(manifests: Iterable[Path]) -> dict[str, float]:
    """Map each rule to its mean seconds of work, from the manifests of its steps."""
    found: dict[str, list[float]] = defaultdict(list)
    for path in manifests:
        with suppress(PipelineError):  # the audit says which manifest is damaged
            manifest = read_manifest(path)
            found[manifest["lineage"]["rule"]].append(manifest["circumstances"]["wall_s"])
    return {rule: sum(seconds) / len(seconds) for rule, seconds in found.items()}


def supply_words(
    root: Path, jobs: Sequence[PlannedJob], data_root: Path, own_weights: str | None
) -> tuple[list[str], list[str]]:
    """Return what would be downloaded before the first job, and the missing or damaged files that stop it."""
    downloads, problems = [], []
    for job in jobs:
        if job.rule == "prepare_data":
            data = job.settings["data"]
            addresses = to_download(data, data_root)
            downloads += [f"download {address} to {data_root}" for address in addresses]
            if not addresses:
                problems += _refusal(require_files, data, data_root)
        for path in (path for name, path in job.inputs if name == "inception"):
            place = local_path(path, root, data_root)
            if own_weights is None and not place.is_file():
                downloads.append(f"download the Inception weights to {place}")
            if own_weights is not None and not (root / own_weights).is_file():
                problems.append(
                    f"{own_weights}, which extractor.weights names, is missing; put Inception weights there"
                )
    return downloads, problems


def _refusal(function: Callable[..., object], *arguments: Any) -> list[str]:
    try:
        function(*arguments)
    except PipelineError as error:
        return [str(error)]
    return []


if __name__ == "__main__":
    run(main)
