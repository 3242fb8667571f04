from __future__ import annotations

import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.core.files import write_npz
from workflow_scripts.training.checkpoints import load_checkpoint

ROOT = Path(__file__).parents[3]
SETTINGS = {
    "arm": "E1_test",
    "seed": 5,
    "data": {"image_size": 8, "channels": 1},
    "model": {
        "name": "unet_digits8",
        "base_channels": 8,
        "channel_mults": [1, 2],
        "num_res_blocks": 1,
        "attention_resolutions": [4],
        "dropout": 0.2,
        "norm_groups": 4,
    },
    "diffusion": {
        "schedule": "linear",
        "num_timesteps": 50,
        "beta_start": 1e-3,
        "beta_end": 0.2,
        "prediction_type": "eps",
    },
    "loss": {"weighting": "min_snr", "min_snr_gamma": 5.0},
    "training": {
        "num_steps": 6,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "grad_clip_norm": 1.0,
        "ema_decay": 0.9,
        "checkpoint_steps": [4, 6],
        "log_every": 4,
        "precision": "fp32",
        "memory_format": "contiguous",
    },
}


@pytest.fixture
def data(tmp_path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    write_npz(tmp_path / "train.npz", images=images, labels=np.zeros(10, np.int64))
    return tmp_path / "train.npz"


def _command(folder: Path, data: Path, settings: dict, *more: str) -> list[str]:
    steps = settings["training"]["checkpoint_steps"]
    return [
        sys.executable,
        "-m",
        "workflow_scripts.steps.train_model",
        "--settings",
        json.dumps(settings),
        "--input",
        "train",
        str(data),
        "--output",
        "checkpoints",
        *(str(folder / f"{step}.pt") for step in steps),
        "--output",
        "log",
        str(folder / "log.csv"),
        "--output",
        "timing",
        str(folder / "timing.json"),
        "--log",
        str(folder / "step.log"),
        *more,
    ]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def _train(folder: Path, data: Path, settings: dict, *more: str, **options) -> subprocess.CompletedProcess:
    command = _command(folder, data, settings, *more)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=ENVIRONMENT, **options)


def _start(folder: Path, data: Path, settings: dict, *more: str) -> subprocess.Popen:
    """The same, returned when the first step is about to be done."""
    command, log = _command(folder, data, settings, *more), folder / "step.log"
    log.unlink(missing_ok=True)  # an earlier process's
    running = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    while not (log.exists() and "on cpu" in log.read_text()):
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)
    return running


def _bytes(folder: Path, settings: dict) -> list[bytes]:
    names = ["log.csv", *(f"{step}.pt" for step in settings["training"]["checkpoint_steps"])]
    return [(folder / name).read_bytes() for name in names]


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle))


def test_two_processes_write_the_same_bytes(tmp_path, data):
    for name in ("one", "two"):
        done = _train(tmp_path / name, data, SETTINGS)
        assert done.returncode == 0, done.stderr
    for file in ("4.pt", "6.pt", "log.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    checkpoint = load_checkpoint(tmp_path / "one" / "4.pt")
    assert (checkpoint["step"], checkpoint["seed"], checkpoint["settings"]) == (4, 5, SETTINGS)
    assert list(checkpoint["model"]) == list(checkpoint["ema"])
    assert [row["step"] for row in _rows(tmp_path / "one" / "log.csv")] == ["4", "6"]
    timing = json.loads((tmp_path / "one" / "timing.json").read_text())
    assert set(timing) == {"wall_s", "steps_per_s", "peak_memory_mb", "num_parameters"}
    assert timing["num_parameters"] == sum(value.numel() for value in checkpoint["model"].values())
    assert 50 < timing["peak_memory_mb"] < 2000
    assert "E1_test seed 5: 6/6 steps, loss" in (tmp_path / "one" / "step.log").read_text()


def test_a_diverging_run_leaves_its_log_and_nothing_else(tmp_path, data):
    # steps of 1e30 overflow the network at once
    settings = {**SETTINGS, "training": {**SETTINGS["training"], "learning_rate": 1e30}}
    folder = tmp_path / "run"
    done = _train(folder, data, settings)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    error = done.stderr.strip().splitlines()[-1]
    assert "E1_test, seed 5, diverged at step" in error and str(folder / "log.failed.csv") in error
    assert sorted(path.name for path in folder.iterdir()) == ["log.failed.csv", "step.lock", "step.log"]
    last = _rows(folder / "log.failed.csv")[-1]
    assert f"step {last['step']}:" in error
    assert not all(np.isfinite(float(last[name])) for name in ("loss", "mse", "grad_norm"))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"training": {**SETTINGS["training"], "checkpoint_steps": [4, 5]}}, "training.checkpoint_steps"),
        ({"data": {"image_size": 28, "channels": 1}}, "train.npz has images of"),
    ],
)
def test_a_plan_that_cannot_work_is_one_line(tmp_path, data, change, word):
    done = _train(tmp_path / "run", data, {**SETTINGS, **change})
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert word in done.stderr and not list((tmp_path / "run").glob("*.pt"))


LONG = {
    **SETTINGS,
    "training": {**SETTINGS["training"], "num_steps": 400, "checkpoint_steps": [40, 400], "log_every": 16},
}


def test_sigterm_saves_first_and_a_damaged_state_is_named_and_not_used(tmp_path, data):
    """One run through four faults: stopped twice, its newest state damaged, its input deleted; then it ends as if nothing was."""
    folder = tmp_path / "run"
    for _ in range(2):
        running = _start(folder, data, LONG)
        time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=60)
        last = said.strip().splitlines()[-1]
        assert running.returncode == 143 and "Traceback" not in said
        assert re.fullmatch(
            r"train_model: stopped by SIGTERM; step \d+ is saved; the same command goes on from there", last
        )
        # nothing that counts as output
        assert sorted(path.name for path in folder.iterdir()) == [".training", "step.lock", "step.log"]
    older, newest = sorted(folder.glob(".training/*/*.state"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)

    running = _start(folder, data, LONG)
    data.rename(tmp_path / "elsewhere.npz")
    _, said = running.communicate(timeout=120)
    assert running.returncode == 1 and "Traceback" not in said
    assert f"{newest.name} is damaged: it does not match its sha256; this saved state is not used" in said
    assert f"going on after step {int(older.stem.removeprefix('step'))}" in said
    error = said.strip().splitlines()[-1]
    assert error.startswith("error: train_model: ") and "train.npz changed while the step ran" in error
    assert (folder / ".training").is_dir(), "what the run has done must not be lost with its input"

    (tmp_path / "elsewhere.npz").rename(data)
    assert _train(folder, data, LONG).returncode == 0
    assert _train(tmp_path / "undisturbed", data, LONG).returncode == 0
    assert _bytes(folder, LONG) == _bytes(tmp_path / "undisturbed", LONG)
    assert sorted(path.name for path in folder.iterdir()) == [
        "40.pt",
        "400.pt",
        "log.csv",
        "step.lock",
        "step.log",
        "timing.json",
    ]


def _fill_the_disk(folder: Path):
    """(options for the process, how to make room again): a small file system where mounting is allowed, else a small limit."""
    folder.mkdir()
    if (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=420k", "none", folder], capture_output=True
        ).returncode
        == 0
    ):
        return {}, lambda: subprocess.run(["mount", "-o", "remount,size=8m", folder], check=True)
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))}
    return limit, lambda: None


def test_a_full_disk_leaves_nothing_half_written_and_with_room_the_run_ends_as_if_nothing_was(tmp_path, data):
    folder = tmp_path / "full"
    options, make_room = _fill_the_disk(folder)
    try:
        if not options:
            (folder / "ballast").write_bytes(bytes(300 * 1024))
        done = _train(folder, data, SETTINGS, **options)
        error = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert (
            error.startswith("error: train_model: cannot write")
            and "step000000" in error
            and "make room" in error
        )
        assert options or "No space left on device" in error
        left = [
            path
            for path in folder.rglob("*")
            if path.is_file() and path.name not in ("step.lock", "step.log", "ballast")
        ]
        assert all(re.fullmatch(r"step0000004\.pt", path.name) for path in left), left
        make_room()
        assert _train(folder, data, SETTINGS).returncode == 0
        assert _train(tmp_path / "undisturbed", data, SETTINGS).returncode == 0
        assert _bytes(folder, SETTINGS) == _bytes(tmp_path / "undisturbed", SETTINGS)
    finally:
        if not options:
            subprocess.run(["umount", folder])


def test_a_gpu_that_is_asked_for_and_not_there_is_one_line(tmp_path, data):
    done = _train(tmp_path / "run", data, SETTINGS, "--machine", "device", "cuda")
    assert (
        done.returncode == 1
        and "device: cuda is asked for, but torch sees no GPU" in done.stderr.splitlines()[-1]
    )
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["step.lock", "step.log"]
