"""How long planning the full MS1 study takes when there is nothing to do: python tests/benchmarks/planning_time.py [SEEDS…]

Copies the project to a temporary folder, gives the cifar10 preset as many seeds as said (by default 3 and 30), puts an
empty file where each output would lie, in order (`--touch`), has Snakemake record every job as finished, with parameters
and checksums as after a real run, and times dry runs. Machines differ in what else they do, so CPU seconds are said too.
`make bench` compares 3 and 10 times the seeds with as many times the seconds of the study as it is: linear growth or less.
"""

from __future__ import annotations

import argparse
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

from project_copy import copy_project, snakemake  # noqa: E402
from side_by_side import Row  # noqa: E402

from workflow_scripts.provenance.planned_jobs import planned_files  # noqa: E402

CONFIG = ["preset=cifar10"]
# Instead of running the first job: write down every job as if it had run, then stop.
RECORD = """

async def record():
    for job in workflow.dag.jobs:
        await workflow.persistence.finished(job)


onstart:
    workflow.async_run(record())
    sys.exit("RECORDED")
"""


def fake_project(target: Path, seeds: int) -> int:
    """A project whose cifar10 study, with so many seeds, has nothing to do; returns how many files were made up."""
    copy_project(target)
    # the preregistrations name the seeds too, and planning would refuse a preset that differs from them
    for path in (target / "config/preset/cifar10.yaml", *(target / "docs/experiments").glob("*_pre_reg.md")):
        path.write_text(set_seeds(path.read_text(encoding="utf-8"), seeds), encoding="utf-8")
    outputs = planned_files(target, CONFIG)
    for path in outputs:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text("")
    touched = snakemake(target, "--touch", "--cores", "1", config=CONFIG)
    if touched.returncode:
        raise SystemExit(f"--touch failed: {touched.stderr[-2000:]}")
    snakefile = (target / "Snakefile").read_text(encoding="utf-8")
    (target / "Snakefile").write_text(snakefile + RECORD, encoding="utf-8")
    recorded = snakemake(target, "--forceall", "--cores", "1", config=CONFIG)
    if "RECORDED" not in recorded.stdout + recorded.stderr:
        raise SystemExit(f"Snakemake recorded nothing: {recorded.stderr[-2000:]}")
    (target / "Snakefile").write_text(snakefile, encoding="utf-8")
    return len(outputs)


def set_seeds(text: str, seeds: int) -> str:
    """A preset or preregistration with so many seeds instead of its own."""
    changed, count = re.subn(
        r"^( *)seeds: .*$", rf"\1seeds: {list(range(1077, 1077 + seeds))}", text, flags=re.MULTILINE
    )
    if count != 1:
        raise SystemExit("the preset and the preregistrations each need one line `seeds: [...]`")
    return changed


def seconds_of_a_plan(project: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one dry run, which must find nothing to do."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = snakemake(project, "--dry-run", config=CONFIG)
    taken, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or "Nothing to be done" not in done.stdout + done.stderr:
        raise SystemExit(
            f"something is left to do, so this measures nothing:\n{(done.stdout + done.stderr)[-2000:]}"
        )
    return taken, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def rows(pairs: int) -> list[Row]:
    """The study as it is, three and ten times its seeds, planned in turn."""
    with tempfile.TemporaryDirectory(prefix="planning") as folder:
        projects = {times: Path(folder) / f"times{times}" for times in (1, 3, 10)}
        files = {times: fake_project(project, 3 * times) for times, project in projects.items()}
        wall: dict[int, list[float]] = {times: [] for times in projects}
        for _ in range(pairs):
            for times, project in projects.items():
                wall[times].append(seconds_of_a_plan(project)[0])
    return [
        Row(
            what=f"planning with nothing to do, {times}× the runs ({files[times]:,} files)",
            peer=f"{times}× the seconds at 1×" if times > 1 else "the bar of 8 s that the project set itself",
            work=1,
            unit="s",
            ours_s=wall[times],
            theirs_s=[times * seconds if times > 1 else 8.0 for seconds in wall[1]],
            distance=0.0,
            tolerance=0.0,
            equality="Snakemake says that nothing is to be done, at each size",
            bar=1.0,
        )
        for times in projects
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", nargs="*", type=int, default=[3, 30])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    for seeds in arguments.seeds:
        with tempfile.TemporaryDirectory(prefix="planning") as folder:
            project = Path(folder) / "project"
            files = fake_project(project, seeds)
            wall, cpu = zip(*(seconds_of_a_plan(project) for _ in range(arguments.repeats)), strict=True)
            print(
                f"{seeds} seeds, {files} files: best of {len(wall)}: {min(wall):.1f} s wall, {min(cpu):.1f} s CPU",
                flush=True,
            )


if __name__ == "__main__":
    main()
