"""How long planning the full MS1 study takes when there is nothing to do.

Copies the project, gives the cifar10 preset 3 and 30 seeds, puts an empty file where each output would lie,
has Snakemake record every job as finished, with parameters and checksums as after a real run, and times dry
runs.
"""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

from project_copy import copy_project, snakemake
from side_by_side import Row

CONFIG = ["preset=cifar10"]
BAR_S = 8.0
# Instead of running the first job: record every job as if it had run, then stop.
RECORD = """

async def record():
    for job in workflow.dag.jobs:
        await workflow.persistence.finished(job)


onstart:
    workflow.async_run(record())
    sys.exit("RECORDED")
"""


def rows(pairs: int) -> list[Row]:
    """The study as it is, and with ten times its seeds, planned in turn."""
    with tempfile.TemporaryDirectory(prefix="planning") as folder:
        projects = {times: Path(folder) / f"times{times}" for times in (1, 10)}
        files = {times: fake_project(project, 3 * times) for times, project in projects.items()}
        wall: dict[int, list[float]] = {times: [] for times in projects}
        for _ in range(pairs):
            for times, project in projects.items():
                wall[times].append(seconds_of_a_plan(project))
    return [
        Row(
            what=f"planning with nothing to do, {times}× the runs ({files[times]:,} files)",
            peer=f"{times}× the seconds at 1×" if times > 1 else f"the project's own bar of {BAR_S:g} s",
            work=1,
            unit="s",
            ours_s=wall[times],
            theirs_s=[times * seconds if times > 1 else BAR_S for seconds in wall[1]],
            distance=0.0,
            tolerance=0.0,
            equality="Snakemake says that nothing is to be done, at each size",
            bar=1.0,
        )
        for times in projects
    ]


def fake_project(target: Path, seeds: int) -> int:
    """Make a project whose cifar10 study has nothing to do; return the number of its files."""
    copy_project(target)
    # The preregistrations name the seeds, too; planning refuses a preset that differs from them.
    preset = next((target / "config").rglob("presets/cifar10.yaml"))
    for path in (preset, *(target / "docs/experiments").glob("*_pre_reg.md")):
        path.write_text(set_seeds(path.read_text(encoding="utf-8"), seeds), encoding="utf-8")
    summary = checked(snakemake(target, "--summary", config=CONFIG)).stdout
    outputs = [
        line.split("\t")[0] for line in summary.splitlines() if line.startswith(("results/", "reports/"))
    ]
    for path in outputs:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text("")
    # Not `checked`: its last words need a verdict, which is empty; every dry run checks that nothing is left.
    snakemake(target, "--touch", "--cores", "1", config=CONFIG)
    snakefile = (target / "Snakefile").read_text(encoding="utf-8")
    (target / "Snakefile").write_text(snakefile + RECORD, encoding="utf-8")
    recorded = snakemake(target, "--forceall", "--cores", "1", config=CONFIG)
    if "RECORDED" not in recorded.stdout + recorded.stderr:
        raise SystemExit(f"Snakemake recorded nothing: {recorded.stderr[-2000:]}")
    (target / "Snakefile").write_text(snakefile, encoding="utf-8")
    return len(outputs)


def set_seeds(text: str, seeds: int) -> str:
    """A preset or preregistration with so many seeds instead of its own."""
    new = rf"\1seeds: {list(range(1077, 1077 + seeds))}"
    changed, count = re.subn(r"^( *)seeds: .*$", new, text, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit("the preset and the preregistrations each need one line `seeds: [...]`")
    return changed


def seconds_of_a_plan(project: Path) -> float:
    """Duration of one dry run, which must find nothing to do."""
    started = time.monotonic()
    done = checked(snakemake(project, "--dry-run", config=CONFIG))
    taken = time.monotonic() - started
    if "Nothing to be done" not in done.stdout + done.stderr:
        raise SystemExit(f"something is left to do:\n{(done.stdout + done.stderr)[-2000:]}")
    return taken


def checked(done):
    if done.returncode:
        raise SystemExit(f"Snakemake failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return done
