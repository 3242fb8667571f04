"""A training that is killed, at any moment and in any way, ends with the bytes of one that never was."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workflow.projects import SMOKE, snakemake
from workflow_scripts.core.files import canonical_json
from workflow_scripts.provenance.planned_jobs import planned_jobs

ARM, SEED = "E1_baseline_linear", 1077
RESULTS = "results/MS1_min_snr/smoke"
RUN = f"{RESULTS}/runs/{ARM}/seed{SEED}"
LOG = f"{RESULTS}/logs/train_model/{ARM}_seed{SEED}.log"
TRAIN = f"{RESULTS}/data/train.npz"
STEPS = (240, 480, 960)
# Dropout, to resume its random numbers too; log windows of 16 steps, so that most kills fall inside one.
CHANGES = {
    "attention_resolutions: [4]\n": "attention_resolutions: [4]\n  dropout: 0.1\n",
    "num_steps: 40\n": f"num_steps: {STEPS[-1]}\n",
    "batch_size: 32\n  learning_rate": "batch_size: 4\n  learning_rate",
    "checkpoint_steps: [20, 40]": f"checkpoint_steps: {list(STEPS)}",
    "log_every: 5": "log_every: 16",
}
OUTSIDE = ["SIGKILL", "SIGTERM"] * 7
CONFIG = "preset=smoke save_every_s=0.2 device=cpu"


@pytest.fixture
def prepared(project) -> Path:
    """A project with its data prepared, and a preset that trains for a few seconds."""
    preset = project / SMOKE
    text = preset.read_text()
    for old, new in CHANGES.items():
        assert old in text, f"the preset no longer holds {old!r}"
        text = text.replace(old, new, 1)
    preset.write_text(text)
    made = snakemake(project, TRAIN, config=CONFIG)
    assert made.returncode == 0, made.stderr
    return project


def _settings(project: Path) -> dict:
    """The settings that the rule hands to this training."""
    planned = planned_jobs(project, CONFIG.split(), f"{RUN}/log.csv")
    return next(job.settings for job in planned if job.rule == "train_model")


def _hashes(run: Path) -> dict[str, str]:
    """sha256 of every checkpoint and of the log."""
    paths = [run / "log.csv", *sorted((run / "checkpoints").iterdir())]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _require_complete_log(run: Path) -> None:
    rows = [int(line.split(",")[0]) for line in (run / "log.csv").read_text().splitlines()[1:]]
    assert rows == list(range(16, STEPS[-1] + 1, 16)), "a step is missing from the log or stands there twice"


@pytest.mark.slow
def test_killed_at_20_random_moments_it_ends_with_the_same_bytes(prepared, show):
    """14 kills outside Snakemake and 6 through it, half of them SIGKILL, at moments from a fixed seed."""
    spec = {"settings": _settings(prepared), "train": TRAIN, "folder": "outside", "seed": 20}
    spec["signals"] = OUTSIDE
    script = [sys.executable, Path(__file__).with_name("killed_training.py"), canonical_json(spec)]
    environment = {**os.environ, "PYTHONPATH": str(prepared), "OMP_NUM_THREADS": "1"}
    outside = subprocess.run(script, cwd=prepared, env=environment, capture_output=True, text=True)
    assert outside.returncode == 0, outside.stderr
    told = json.loads(outside.stdout)
    expected = _hashes(prepared / "outside/undisturbed")
    assert sorted(expected) == ["log.csv", *(f"step{step:07d}.pt" for step in STEPS)]
    for run in told["finished"]:
        assert _hashes(prepared / run) == expected, run
        _require_complete_log(prepared / run)
        names = sorted(path.name for path in (prepared / run).iterdir())
        assert names == ["checkpoints", "log.csv", "status.json", "step.lock", "step.log", "timing.json"]
    for kill in told["kills"]:
        # SIGTERM before the step has begun ends Python as it ends any program
        assert kill["exit"] in ({-9} if kill["signal"] == "SIGKILL" else {143, -15}), kill
        said = re.search(r"stopped by SIGTERM; (step \d+ is saved|nothing half-written)", kill["log"])
        assert said or kill["exit"] != 143, kill
    resumed = re.findall(r"going on after step (\d+)", "".join(kill["log"] for kill in told["kills"]))
    # how many depends on how fast the machine is; states that are never loaded would give none
    assert len(told["kills"]) == 14 and len(resumed) >= 3, told["kills"]

    inside = _through_snakemake(prepared, told["training_cpu_s"])
    assert _hashes(prepared / RUN) == expected
    _require_complete_log(prepared / RUN)
    assert not (prepared / RUN / ".training").exists() and inside.count("SIGKILL") == 3 and len(inside) == 6
    num_runs = len(told["finished"])
    show(
        f"{len(told['kills'])} kills outside Snakemake over {num_runs} runs, resumed after steps "
        f"{', '.join(resumed)}; {len(inside)} through it: {', '.join(inside)}"
    )
    show("\n".join(f"  {name} {digest} in all {num_runs + 2} runs" for name, digest in expected.items()))


def _through_snakemake(project: Path, training_cpu_s: float) -> list[str]:
    """Kill everything twice, then the training alone four times, which Snakemake restarts by itself."""
    # Moments in the process's own seconds, since those of the clock depend on what else runs; together less
    # than the training takes, so that it is never done before the last kill.
    moments, kills, longest = random.Random(6), [], training_cpu_s / 10
    seen: set[int] = set()
    for number in (signal.SIGKILL, signal.SIGTERM):
        running = _start(project)
        _let_it_work(_wait_for_training(project, running, seen), moments.uniform(0, longest))
        os.killpg(running.pid, number)
        running.communicate(timeout=300)
        assert running.returncode != 0 and not (project / RUN / "log.csv").exists()
        assert not list((project / RUN / "checkpoints").glob("*.pt"))
        kills.append(number.name)
    running = _start(project, "--retries", "4")
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        worker = _wait_for_training(project, running, seen)
        _let_it_work(worker, moments.uniform(0, longest))
        # the job's own process, which Snakemake started: no shell stands between that could keep the signal
        assert _parent(worker) == running.pid
        os.kill(worker, number)
        kills.append(number.name)
    said, _ = running.communicate(timeout=300)
    assert running.returncode == 0, said
    assert said.count("stopped by SIGTERM; step") == 2 and said.count("going on after step") >= 3, said
    return kills


def _start(project: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", *arguments]
    command += ["--config", *CONFIG.split(), "--", f"{RUN}/log.csv"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=project, env=environment, start_new_session=True, **output)


def _wait_for_training(project: Path, running: subprocess.Popen, seen: set[int]) -> int:
    """Wait until a process that is not in `seen` begins to train, add it and return it."""
    lock, log = (project / LOG).with_suffix(".lock"), project / LOG
    looks_in_a_row = 0
    for _ in range(15000):
        holder = re.match(r"process (\d+) ", lock.read_text()) if lock.exists() else None
        process = int(holder[1]) if holder else 0
        training = (
            process not in seen
            and Path(f"/proc/{process}").exists()
            and log.exists()
            and "on cpu" in log.read_text()
        )
        # twice, since for a moment the new process holds the lock and the log is still the old one's
        looks_in_a_row = looks_in_a_row + 1 if holder and training else 0
        if looks_in_a_row == 2:
            seen.add(process)
            return process
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.02)
    raise AssertionError("no training began within five minutes")


def _let_it_work(process: int, cpu_s: float) -> None:
    """Wait until the process has computed for so many seconds more."""
    end = _cpu_s(process) + cpu_s
    while _cpu_s(process) < end:
        time.sleep(0.005)


def _cpu_s(process: int) -> float:
    return sum(map(int, _stat(process)[11:13])) / os.sysconf("SC_CLK_TCK")


def _parent(process: int) -> int:
    return int(_stat(process)[1])


def _stat(process: int) -> list[str]:
    """The fields of /proc/<process>/stat after the name, which may hold spaces: state, parent, …"""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
