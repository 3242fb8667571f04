"""Skip steps whose inputs come out byte-identical: python -m workflow_scripts.tools.update [--cores N] …

Snakemake plans once, and assumes that every job changes everything after it. This tool runs only the jobs
that must run in any case, plans again, and so on until nothing is left. `snakemake --cores N` does the same
work and more. Exit code: that of the first failed Snakemake run, 1 for an error in one line, 2 for bad usage.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.provenance.planned_jobs import PlannedJob, planned_jobs
from workflow_scripts.tools import command_line, errors_in_one_line, run


@errors_in_one_line()
def main(argv: list[str] | None = None, root: Path = Path()) -> int:
    parser = command_line("update", __doc__)
    parser.add_argument("--cores", type=int, default=1, help="how many jobs run at once")
    arguments = parser.parse_args(argv)
    config = ["--config", *arguments.config] if arguments.config else []
    planned_before: set[str] = set()
    number = 0
    while True:
        jobs = planned_jobs(root, arguments.config)
        if not jobs:
            print("nothing left to do")
            return 0
        number += 1
        planned = {job.output_paths[0] for job in jobs}
        sure = certain_jobs(jobs, root)
        # Snakemake does the rest by itself when all jobs must run, or when the last round changed nothing
        last = len(sure) == len(jobs) or planned == planned_before
        print(f"round {number}: {len(jobs) if last else len(sure)} of {len(jobs)} planned jobs", flush=True)
        targets = [] if last else [job.output_paths[0] for job in sure]
        command = [sys.executable, "-m", "snakemake", "--cores", str(arguments.cores), *targets, *config]
        done = subprocess.run(command, cwd=root)
        if done.returncode or last:
            return done.returncode
        planned_before = planned


def certain_jobs(jobs: Sequence[PlannedJob], root: Path) -> list[PlannedJob]:
    """Return the jobs that must run in any case: those that wait for none, and new files that follow them."""
    maker = {path: number for number, job in enumerate(jobs) for path in job.output_paths}
    waits_for = [{maker[path] for path in job.input_paths if path in maker} for job in jobs]
    unmade = {
        number
        for number, job in enumerate(jobs)
        if not any((root / path).exists() for path in job.output_paths)
    }
    sure = {number for number, before in enumerate(waits_for) if not before}
    while found := {number for number in unmade - sure if waits_for[number] <= sure}:
        sure |= found
    return [job for number, job in enumerate(jobs) if number in sure]


if __name__ == "__main__":
    run(main)
