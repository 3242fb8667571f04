"""A whole smoke study, clean: the pipeline on two cores against its own steps called one after another.

The pipeline should take at most 1.1 times the time of the calls over the number of cores.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import time
from pathlib import Path

from project_copy import copy_project, environment, snakemake
from side_by_side import Row

CORES, CONFIG = 2, ["preset=smoke"]
COMMAND = "python -m workflow_scripts.steps."
COMPARED = ("results.jsonl", "verdict.json")  # the report holds measured seconds


def rows(pairs: int) -> list[Row]:
    """Both ways on a fresh copy each, in turn. SystemExit if one fails or results differ."""
    pipeline_s, calls_s, digests = [], [], set()
    for number in range(pairs):
        for way in (pipeline, calls) if number % 2 else (calls, pipeline):
            with tempfile.TemporaryDirectory(prefix="study") as folder:
                project = copy_project(Path(folder) / "project")
                (pipeline_s if way is pipeline else calls_s).append(way(project))
                digests.add(digest(project))
    if len(digests) != 1:
        raise SystemExit("the pipeline and its steps called by hand came to different results")
    return [
        Row(
            what=f"whole smoke study, clean, {CORES} cores",
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


def pipeline(project: Path) -> float:
    """Seconds of Snakemake on all cores."""
    started = time.perf_counter()
    done = snakemake(project, "--cores", str(CORES), config=CONFIG)
    if done.returncode:
        raise SystemExit(f"the pipeline failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return time.perf_counter() - started


def calls(project: Path) -> float:
    """Seconds of the same commands one after another, each with one thread, as the pipeline gives them."""
    planned = snakemake(project, "--dry-run", "--printshellcmds", config=CONFIG).stdout
    commands = [line[line.index(COMMAND) :] for line in planned.splitlines() if COMMAND in line]
    one_thread = {**environment(), "OMP_NUM_THREADS": "1"}  # as Snakemake sets it for a job of one thread
    started = time.perf_counter()
    for command in commands:
        shell = ["bash", "-c", command]
        done = subprocess.run(shell, cwd=project, env=one_thread, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def digest(project: Path) -> str:
    """One hash over what both ways must agree on."""
    found = [path for name in COMPARED for path in sorted((project / "results").glob(f"*/*/{name}"))]
    if len(found) != len(COMPARED):
        raise SystemExit(f"the run left {[path.name for path in found]}, not {', '.join(COMPARED)}")
    return hashlib.sha256(b"".join(path.read_bytes() for path in found)).hexdigest()
