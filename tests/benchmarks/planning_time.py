"""How long planning the full MS1 study takes when there is nothing to do: python tests/benchmarks/planning_time.py [SEEDS…]

Copies the project to a temporary folder, gives the cifar10 preset as many seeds as said (by default 3 and 30), puts an
empty file where each output would lie, in order (`--touch`), has Snakemake record every job as finished, with parameters
and checksums as after a real run, and times dry runs. Machines differ in what else they do, so CPU seconds are said too.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from workflow_scripts.provenance.planned_commands import planned_commands  # noqa: E402

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
FOLDERS = ("rules", "config", "workflow_scripts", "docs", "profiles", "envs", "reports")


def fake_project(target: Path, seeds: int) -> int:
    """A project whose cifar10 study, with so many seeds, has nothing to do; returns how many files were made up."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "MS1_min_snr" if name == "reports" else ""))
    shutil.copy(ROOT / "Snakefile", target)
    # the preregistrations name the seeds too, and planning would refuse a preset that differs from them
    for path in (target / "config/preset/cifar10.yaml", *(target / "docs/experiments").glob("*_pre_reg.md")):
        path.write_text(set_seeds(path.read_text(encoding="utf-8"), seeds), encoding="utf-8")
    outputs = planned_commands(target, CONFIG)
    for path in outputs:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text("")
    touched = snakemake(target, "--touch", "--cores", "1")
    if touched.returncode:
        raise SystemExit(f"--touch failed: {touched.stderr[-2000:]}")
    snakefile = (target / "Snakefile").read_text(encoding="utf-8")
    (target / "Snakefile").write_text(snakefile + RECORD, encoding="utf-8")
    recorded = snakemake(target, "--forceall", "--cores", "1")
    if "RECORDED" not in recorded.stdout + recorded.stderr:
        raise SystemExit(f"Snakemake recorded nothing: {recorded.stderr[-2000:]}")
    (target / "Snakefile").write_text(snakefile, encoding="utf-8")
    return len(outputs)


def set_seeds(text: str, seeds: int) -> str:
    """A preset or preregistration with so many seeds instead of its own."""
    changed, count = re.subn(r"^( *)seeds: .*$", rf"\1seeds: {list(range(1077, 1077 + seeds))}", text, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit("the preset and the preregistrations each need one line `seeds: [...]`")
    return changed


def snakemake(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, "--config", *CONFIG], cwd=project, capture_output=True, text=True
    )


def seconds_of_a_plan(project: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one dry run, which must find nothing to do."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = snakemake(project, "--dry-run")
    taken, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or "Nothing to be done" not in done.stdout + done.stderr:
        raise SystemExit(f"something is left to do, so this measures nothing:\n{(done.stdout + done.stderr)[-2000:]}")
    return taken, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", nargs="*", type=int, default=[3, 30])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    for seeds in arguments.seeds:
        with tempfile.TemporaryDirectory(prefix="planning") as folder:
            project = Path(folder) / "project"
            project.mkdir()
            files = fake_project(project, seeds)
            wall, cpu = zip(*(seconds_of_a_plan(project) for _ in range(arguments.repeats)), strict=True)
            print(f"{seeds} seeds, {files} files: best of {len(wall)}: {min(wall):.1f} s wall, {min(cpu):.1f} s CPU", flush=True)


if __name__ == "__main__":
    main()
