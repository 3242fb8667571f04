from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.common.files import write_npz
from workflow_scripts.training.checkpoints import load_checkpoint

ROOT = Path(__file__).parents[3]
SETTINGS = {
    "arm": "E1_test",
    "seed": 5,
    "data": {"image_size": 8, "channels": 1},
    "model": {"name": "unet_digits8", "base_channels": 8, "channel_mults": [1, 2], "num_res_blocks": 1,
              "attention_resolutions": [4], "dropout": 0.2, "norm_groups": 4},
    "diffusion": {"schedule": "linear", "num_timesteps": 50, "beta_start": 1e-3, "beta_end": 0.2,
                  "prediction_type": "eps"},
    "loss": {"weighting": "min_snr", "min_snr_gamma": 5.0},
    "training": {"num_steps": 6, "batch_size": 4, "learning_rate": 1e-3, "grad_clip_norm": 1.0, "ema_decay": 0.9,
                 "checkpoint_steps": [4, 6], "log_every": 4},
}  # fmt: skip


@pytest.fixture
def data(tmp_path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    write_npz(tmp_path / "train.npz", images=images, labels=np.zeros(10, np.int64))
    return tmp_path / "train.npz"


def _train(folder: Path, data: Path, settings: dict) -> subprocess.CompletedProcess:
    steps = settings["training"]["checkpoint_steps"]
    command = [sys.executable, "-m", "workflow_scripts.train_model", "--settings", json.dumps(settings),
               "--input", "train", str(data),
               "--output", "checkpoints", *(str(folder / f"{step}.pt") for step in steps),
               "--output", "log", str(folder / "log.csv"), "--output", "timing", str(folder / "timing.json"),
               "--log", str(folder / "step.log")]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)


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
    assert sorted(path.name for path in folder.iterdir()) == ["log.failed.csv", "step.log"]
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
