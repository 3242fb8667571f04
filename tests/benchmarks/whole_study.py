"""A whole study, clean: the pipeline on two cores against its own steps called one after another, without Snakemake.

    python tests/benchmarks/whole_study.py [--preset digits] [--pairs 1]

The pipeline should take no more than 1.1 times the time of the calls over the number of cores. `make bench` measures the
smallest preset, whose short steps leave the pipeline the least room; digits takes 20 minutes for one pair.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

from project_copy import copy_project, environment, snakemake  # noqa: E402
from side_by_side import Row  # noqa: E402

from workflow_scripts.provenance.planned_jobs import dry_run  # noqa: E402

CORES = 2
# What no clock has a part in; the costs and the report hold measured seconds.
COMPARED = ("results.jsonl", "verdict.json")


def rows(pairs: int, preset: str = "smoke") -> list[Row]:
    """Both ways on a fresh copy each, in turn. SystemExit when one fails or their results differ by a byte."""
    pipeline_s, calls_s, digests = [], [], set()
    for number in range(pairs):
        for way in (pipeline, calls) if number % 2 else (calls, pipeline):
            with tempfile.TemporaryDirectory(prefix="study") as folder:
                project = copy_project(Path(folder) / "project")
                (pipeline_s if way is pipeline else calls_s).append(way(project, preset))
                digests.add(digest(project))
    if len(digests) != 1:
        raise SystemExit("the pipeline and its steps called by hand came to different results")
    return [
        Row(
            what=f"whole {preset} study, clean, {CORES} cores",
            peer=f"its steps called one after another, their time over {CORES}",
            work=1,
            unit="s",
            ours_s=pipeline_s,
            theirs_s=[seconds / CORES for seconds in calls_s],
            distance=0.0,
            tolerance=0.0,
            equality=f"{' and '.join(COMPARED)} are equal byte for byte",
            bar=round(1 / 1.1, 2),
        )
    ]


def pipeline(project: Path, preset: str) -> float:
    """Seconds of Snakemake on all cores."""
    started = time.perf_counter()
    done = snakemake(project, "--cores", str(CORES), config=[f"preset={preset}"])
    taken = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"the pipeline failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return taken


def calls(project: Path, preset: str) -> float:
    """Seconds of the same commands one after another, each with one thread, as the pipeline gives them."""
    jobs = dry_run(project, [f"preset={preset}"])
    commands = [job["shellcmd"] for job in jobs if job["shellcmd"]]
    one_thread = {**environment(), "OMP_NUM_THREADS": "1"}  # as Snakemake sets it for a job of one thread
    started = time.perf_counter()
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=project, env=one_thread, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def digest(project: Path) -> str:
    """One hash over what both ways must agree on."""
    found = [path for name in COMPARED for path in sorted((project / "results").glob(f"*/*/{name}"))]
    if len(found) != len(COMPARED):
        raise SystemExit(f"the run left {[path.name for path in found]}, not {', '.join(COMPARED)}")
    return hashlib.sha256(b"".join(path.read_bytes() for path in found)).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="smoke")
    parser.add_argument("--pairs", type=int, default=1)
    arguments = parser.parse_args()
    for row in rows(arguments.pairs, arguments.preset):
        ours, theirs = statistics.median(row.ours_s), statistics.median(row.theirs_s)
        print(
            f"{row.what}: {ours:.1f} s, against {theirs:.1f} s ({row.peer}): ratio {row.ratio:.2f}, bar {row.bar}"
        )


if __name__ == "__main__":
    main()
