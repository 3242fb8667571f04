"""The training step as a whole: its files, its messages, and faults from outside."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny_run import tiny_settings, trained
from workflow_scripts.core.errors import NotFiniteError
from workflow_scripts.core.files import write_npz
from workflow_scripts.core.step import run
from workflow_scripts.steps.train_model import main
from workflow_scripts.training.checkpoints import load_checkpoint, load_ema_model
from workflow_scripts.training.loop import Session
from workflow_scripts.training.step import initial_state

ROOT = Path(__file__).parents[3]
SETTINGS = tiny_settings(training={"num_steps": 6, "batch_size": 4, "checkpoint_steps": [4, 6]})
OUTPUTS = ["4.pt", "6.pt", "log.csv", "status.json"]


@pytest.fixture
def data(tmp_path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    write_npz(tmp_path / "train.npz", images=images, labels=np.zeros(10, np.int64))
    return tmp_path / "train.npz"


def _arguments(folder: Path, data: Path, settings: dict, *more: str) -> list[str]:
    checkpoints = [str(folder / f"{step}.pt") for step in settings["training"]["checkpoint_steps"]]
    return [
        *("--settings", json.dumps(settings), "--input", "train", str(data)),
        *("--output", "checkpoints", *checkpoints, "--output", "log", str(folder / "log.csv")),
        *("--output", "status", str(folder / "status.json")),
        *("--output", "timing", str(folder / "timing.json"), "--machine", "device", "cpu"),
        *more,
    ]


def _train(folder: Path, data: Path, settings: dict = SETTINGS, *more: str) -> int:
    """Train in this process, without a log and its lock; the exit code."""
    try:
        run(main, _arguments(folder, data, settings, *more), volatile=("timing",))
    except SystemExit as end:
        return int(end.code)
    return 0


def _at_step(monkeypatch, step: int, what: Callable[[], object]) -> None:
    """Do `what` right before the session looks for signals after update number `step`."""
    on_step = Session.on_step

    def interrupted(session, state):
        if state.step == step:
            what()
        on_step(session, state)

    monkeypatch.setattr(Session, "on_step", interrupted)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _bytes(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in OUTPUTS]


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path, data):
    log = tmp_path / "one/step.log"
    command = [sys.executable, "-m", "workflow_scripts.steps.train_model"]
    command += _arguments(tmp_path / "one", data, SETTINGS, "--log", str(log))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment)
    assert _train(tmp_path / "two", data) == 0
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")
    assert _names(tmp_path / "two") == [*OUTPUTS, "timing.json"]
    checkpoint = load_checkpoint(tmp_path / "one/4.pt")
    assert (checkpoint["step"], checkpoint["seed"], checkpoint["settings"]) == (4, 5, SETTINGS)
    assert list(checkpoint["model"]) == list(checkpoint["ema"])
    assert [row["step"] for row in _rows(tmp_path / "one/log.csv")] == ["4", "6"]
    timing = json.loads((tmp_path / "one/timing.json").read_text())
    assert set(timing) == {"wall_s", "steps_per_s", "peak_memory_mb", "num_parameters", "tables_ms"}
    assert timing["num_parameters"] == sum(value.numel() for value in checkpoint["model"].values())
    assert 50 < timing["peak_memory_mb"] < 2000
    assert "E1_test seed 5: 6/6 steps, loss" in log.read_text()


def test_a_diverging_run_ends_as_one_and_says_at_which_step(tmp_path, data):
    # steps of 1e30 overflow the network at once
    settings = tiny_settings(training={**SETTINGS["training"], "learning_rate": 1e30})
    folder = tmp_path / "run"
    assert _train(folder, data, settings) == 0
    at = json.loads((folder / "status.json").read_text())["diverged_at"]
    last = _rows(folder / "log.csv")[-1]
    assert last["step"] == str(at)
    assert not all(np.isfinite(float(last[name])) for name in ("loss", "mse", "grad_norm"))
    checkpoint = load_checkpoint(folder / "4.pt")
    assert (checkpoint["model"], checkpoint["ema"], checkpoint["diverged_at"]) == ({}, {}, at)
    with pytest.raises(NotFiniteError, match=f"4.pt: the run diverged at step {at}"):
        load_ema_model(folder / "4.pt", settings, ("seed", "model"))


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        ({"data": {"image_size": 28, "channels": 1}}, (), "train.npz has images of"),
        ({}, ("--machine", "device", "cuda"), "device: cuda is asked for, but torch sees no GPU"),
        (
            {},
            ("--output", "checkpoints", "4.pt"),
            "2 training.checkpoint_steps need as many checkpoint paths",
        ),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path, data, capsys, monkeypatch, changes, more, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _train(tmp_path / "run", data, SETTINGS | changes, *more) == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not list(tmp_path.rglob("*.pt"))


def test_sigterm_saves_first_and_a_damaged_state_is_named_and_not_used(tmp_path, data, capsys, monkeypatch):
    """One run through four faults: stopped twice, its newest state damaged, its input gone."""
    assert _train(tmp_path / "undisturbed", data) == 0
    folder = tmp_path / "run"
    for step in (2, 3):
        with monkeypatch.context() as patched:
            _at_step(patched, step, lambda: os.kill(os.getpid(), signal.SIGTERM))
            assert _train(folder, data) == 143
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.endswith(f"stopped by SIGTERM; step {step} is saved; the same command goes on from there")
        assert _names(folder) == [".training"]  # nothing that counts as output
    newest = sorted(folder.glob(".training/*/*.state"))[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)

    with monkeypatch.context() as patched:
        _at_step(patched, 5, lambda: data.rename(tmp_path / "elsewhere.npz"))
        assert _train(folder, data) == 1
    said = capsys.readouterr().err
    assert f"{newest.name} is damaged" in said and "this saved state is not used" in said
    assert "going on after step 2" in said
    assert "train.npz changed while the step ran" in said.strip().splitlines()[-1]
    assert (folder / ".training").is_dir(), "what the run has done must not be lost with its input"

    (tmp_path / "elsewhere.npz").rename(data)
    assert _train(folder, data) == 0
    assert _bytes(folder) == _bytes(tmp_path / "undisturbed")
    assert _names(folder) == [*OUTPUTS, "timing.json"]


def test_a_full_disk_leaves_nothing_half_written_and_a_rerun_the_same_bytes(tmp_path, data, capsys):
    assert _train(tmp_path / "undisturbed", data) == 0
    folder = tmp_path / "full"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Stands for a full disk: no file can grow beyond this, and a checkpoint has 150 kB.
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
    try:
        assert _train(folder, data) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(r"error: train_model: cannot write .*step0000004.*make room", error)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert _train(folder, data) == 0
    assert _bytes(folder) == _bytes(tmp_path / "undisturbed")


def test_a_method_gets_the_averaged_weights_of_the_network_that_it_names(data, tmp_path):
    for name in ("one", "other", "a", "b"):
        (tmp_path / name).mkdir()
    assert _train(tmp_path / "one", data) == _train(tmp_path / "other", data, SETTINGS | {"seed": 6}) == 0
    method = {"name": "tests.house.distilled:Distilled", "network": "teacher"}
    settings = SETTINGS | {"method": method, "model": SETTINGS["model"] | {"dropout": 0.0}}
    for folder, of in (("a", "one"), ("b", "other")):
        teacher = ("--input", "network", str(tmp_path / of / "6.pt"))
        assert _train(tmp_path / folder, data, settings, *teacher) == 0
    logs = [(tmp_path / folder / "log.csv").read_text() for folder in ("a", "b")]
    assert logs[0] != logs[1]
    network = load_ema_model(tmp_path / "one/6.pt", SETTINGS, ())
    state = initial_state(settings, torch.device("cpu"), network.requires_grad_(False))
    assert state.method.teacher is network and not network.training
    before = [value.clone() for value in network.state_dict().values()]
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    _, rows = trained(settings, 2, state, images=images)
    assert all(map(torch.equal, before, network.state_dict().values()))
    assert rows[0][1] > rows[0][2]  # the loss has the term that the squared error lacks


def test_a_run_whose_shared_network_diverged_ends_at_once_as_one_that_did(data, tmp_path, capsys):
    for name in ("teacher", "pupil"):
        (tmp_path / name).mkdir()
    wild = tiny_settings(training={**SETTINGS["training"], "learning_rate": 1e30})
    assert _train(tmp_path / "teacher", data, wild) == 0
    method = {"name": "tests.house.distilled:Distilled", "network": "teacher"}
    teacher = ("--input", "network", str(tmp_path / "teacher/6.pt"))
    assert _train(tmp_path / "pupil", data, SETTINGS | {"method": method}, *teacher) == 0
    assert "teacher/6.pt: the run diverged at step" in capsys.readouterr().err
    assert _names(tmp_path / "pupil") == [*OUTPUTS, "timing.json"]
    assert json.loads((tmp_path / "pupil/status.json").read_text()) == {"diverged_at": 0}
    assert [list(row.values()) for row in _rows(tmp_path / "pupil/log.csv")] == [["0", "nan", "nan", "nan"]]
    with pytest.raises(NotFiniteError, match="4.pt: the run diverged at step 0"):
        load_ema_model(tmp_path / "pupil/4.pt", SETTINGS, ("seed", "model"))
