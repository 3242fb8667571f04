"""Run the study so that a rebuilt file with the bytes it had runs nothing: python -m workflow_scripts.tools.update [--cores N] …

Snakemake plans once, and takes for granted that whatever runs changes all that follows. This plans, runs only what must
run whatever comes of the rest, and plans again, until nothing is left. `snakemake --cores N` does the same work and more.
Exit code: that of the first failed Snakemake run, 1 for an error in one line, 2 for bad usage.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.provenance.planned_jobs import PlannedJob, planned_jobs


def main(argv: list[str] | None = None, root: Path = Path()) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m workflow_scripts.tools.update",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="as for Snakemake"
    )
    parser.add_argument("--cores", type=int, default=1, help="how many jobs run at once")
    arguments = parser.parse_args(argv)
    planned_before: set[str] = set()
    number = 0
    while True:
        try:
            jobs = planned_jobs(root, arguments.config)
        except PipelineError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        if not jobs:
            print("nothing left to do")
            return 0
        number += 1
        planned = {job.outputs[0] for job in jobs}
        sure = certain_jobs(jobs, root)
        # With nothing to spare, or if the last round got nowhere, Snakemake does the rest by itself.
        last = len(sure) == len(jobs) or planned == planned_before
        print(f"round {number}: {len(jobs) if last else len(sure)} of {len(jobs)} planned jobs", flush=True)
        targets = [] if last else [job.outputs[0] for job in sure]
        command = [sys.executable, "-m", "snakemake", "--cores", str(arguments.cores), *targets]
        done = subprocess.run(
            [*command, *(["--config", *arguments.config] if arguments.config else [])], cwd=root
        )
        if done.returncode or last:
            return done.returncode
        planned_before = planned


def certain_jobs(jobs: Sequence[PlannedJob], root: Path) -> list[PlannedJob]:
    """The jobs that run whatever the others make: those that wait for none, and those without outputs that wait for such."""
    makers = {path: job.outputs[0] for job in jobs for path in job.outputs}
    waits_for = {job.outputs[0]: {makers[path] for path in job.inputs if path in makers} for job in jobs}
    unmade = {job.outputs[0] for job in jobs if not any((root / path).exists() for path in job.outputs)}
    sure = {name for name, before in waits_for.items() if not before}
    while found := {name for name in unmade - sure if waits_for[name] <= sure}:
        sure |= found
    return [job for job in jobs if job.outputs[0] in sure]


if __name__ == "__main__":
    sys.exit(main())
