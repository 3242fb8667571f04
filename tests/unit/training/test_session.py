"""A run in several sessions is the run in one: weights, log and checkpoints, wherever it was cut."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch

from workflow_scripts.core.errors import PipelineError, Stopped, StopSignals
from workflow_scripts.training import session as session_module
from workflow_scripts.training.log import DivergedError, TrainingLog
from workflow_scripts.training.loop import train
from workflow_scripts.training.saved_run import SavedRun
from workflow_scripts.training.session import Session
from workflow_scripts.training.state import initial_state

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
NUM_STEPS, CHECKPOINT_STEPS, LOG_EVERY = 10, (3, 10), 4
SETTINGS = {
    "arm": "E1_test",
    "seed": 5,
    "data": {"image_size": 8, "channels": 1},
    "model": {
        "name": "unet_digits8",
        "base_channels": 4,
        "channel_mults": [1, 2],
        "num_res_blocks": 1,
        "attention_resolutions": [4],
        "dropout": 0.3,
        "norm_groups": 2,
    },
    "diffusion": {
        "schedule": "linear",
        "num_timesteps": 50,
        "beta_start": 1e-3,
        "beta_end": 0.2,
        "prediction_type": "eps",
    },
    "loss": {"weighting": "uniform", "min_snr_gamma": None},
    "training": {
        "num_steps": NUM_STEPS,
        "batch_size": 6,
        "learning_rate": 1e-3,
        "grad_clip_norm": 0.5,
        "ema_decay": 0.9,
        "checkpoint_steps": list(CHECKPOINT_STEPS),
        "log_every": LOG_EVERY,
        "precision": "fp32",
        "memory_format": "contiguous",
    },
}


class Clock:
    """Stands for time.monotonic; every call is one second later."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def _session(folder, every_s=1e9, stop=None, said=None):
    state, log = initial_state(SETTINGS, torch.device("cpu")), TrainingLog(LOG_EVERY)
    saved = SavedRun(folder, {"settings": SETTINGS}, (lambda line: None) if said is None else said.append)
    saved.prepare()
    return Session(SETTINGS, state, log, saved, every_s, stop or StopSignals())


def _go_on(session: Session, on_step=None) -> Session:
    session.resume()
    arguments = (IMAGES, SETTINGS, session.log, NUM_STEPS, CHECKPOINT_STEPS, session.on_checkpoint)
    train(session.state, *arguments, on_step=on_step or session.on_step)
    return session


def _bytes(session: Session) -> list[bytes]:
    return [session.saved.checkpoint_path(step).read_bytes() for step in CHECKPOINT_STEPS]


def test_stopped_after_any_step_it_ends_with_the_same_bytes(tmp_path):
    straight = _go_on(_session(tmp_path / "straight"))
    for cut in range(1, NUM_STEPS + 1):
        stop = StopSignals()
        first = _session(tmp_path / str(cut), stop=stop)

        def on_step(state, first=first, stop=stop, cut=cut):
            stop.received = signal.SIGTERM if state.step == cut else None
            first.on_step(state)

        with pytest.raises(Stopped, match=f"stopped by SIGTERM; step {cut} is saved") as stopped:
            _go_on(first, on_step)
        assert stopped.value.exit_code == 143
        second = _session(tmp_path / str(cut))
        _go_on(second)
        assert _bytes(second) == _bytes(straight), f"cut after step {cut}"
        assert second.log.rows == straight.log.rows and len(straight.log.rows) == 3, f"cut after step {cut}"


def test_killed_after_any_step_it_goes_on_from_an_older_state_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "MOST_OF_THE_TIME", 1e9)
    straight = _go_on(_session(tmp_path / "straight"))
    resumed_at = []
    for cut in range(1, NUM_STEPS + 1):
        first = _session(tmp_path / str(cut), every_s=0.0)

        def on_step(state, first=first, cut=cut):
            if state.step == cut:  # before this step is saved
                raise SystemError("killed")
            first.on_step(state)

        with pytest.raises(SystemError):
            _go_on(first, on_step)
        second = _session(tmp_path / str(cut))
        resumed_at.append(second.resume())
        second = _go_on(_session(tmp_path / str(cut)))
        assert _bytes(second) == _bytes(straight) and second.log.rows == straight.log.rows, (
            f"killed at step {cut}"
        )
    assert resumed_at == list(range(NUM_STEPS))


def test_it_saves_by_the_monotonic_clock_whatever_the_time_of_day_does(tmp_path, monkeypatch):
    steps = []
    monkeypatch.setattr(session_module.time, "monotonic", Clock())
    monkeypatch.setattr(session_module, "MOST_OF_THE_TIME", 1e9)
    monkeypatch.setattr(session_module.time, "time", lambda: pytest.fail("the time of day may jump"))
    monkeypatch.setattr(SavedRun, "save", lambda self, step, content: steps.append(step))
    # one second per look at the clock: one look per step, and two more for a step that saves
    _go_on(_session(tmp_path, every_s=3.0))
    assert steps == [3, 6, 9]


def test_a_slow_disk_is_written_to_less_often(tmp_path, monkeypatch):
    clock, steps = Clock(), []

    def slow(self, step, content):
        clock.now += 0.05
        steps.append(step)

    monkeypatch.setattr(session_module.time, "monotonic", clock)
    monkeypatch.setattr(SavedRun, "save", slow)
    # saving takes 2 to 3 seconds of this clock, so the next one is 200 seconds away, not 1
    _go_on(_session(tmp_path, every_s=1.0))
    assert steps == [1]


def test_a_full_disk_is_said_and_ends_training_only_if_it_has_to_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "MOST_OF_THE_TIME", 1e9)
    stop, said = StopSignals(), []
    session = _session(tmp_path, 0.0, stop, said)
    save, calls = SavedRun.save, []

    def full(self, step, content):
        calls.append(step)
        if step > 2:
            raise PipelineError("cannot write step.state: No space left on device")
        save(self, step, content)

    def on_step(state):
        stop.received = signal.SIGTERM if state.step == 6 else None
        session.on_step(state)

    monkeypatch.setattr(SavedRun, "save", full)
    with pytest.raises(
        PipelineError, match="stopped, and step 6 is lost; step 2 is saved: cannot write step.state: No space"
    ):
        _go_on(session, on_step)
    assert calls == [1, 2, 3, 4, 5, 6]
    assert [line.split(":")[0] for line in said] == [
        f"training goes on without having saved step {step}" for step in (3, 4, 5)
    ]


def test_what_is_not_finite_is_never_saved(tmp_path):
    stop = StopSignals()
    session = _session(tmp_path, stop=stop)

    def on_step(state):
        if state.step == 5:
            with torch.no_grad():
                next(state.model.parameters()).fill_(float("nan"))
        stop.received = signal.SIGTERM if state.step == 6 else None
        session.on_step(state)

    with pytest.raises(DivergedError, match="diverged at step 6"):
        _go_on(session, on_step)
    assert list(session.saved.folder.glob("*.state")) == []


def test_seconds_of_all_sessions_count(tmp_path, monkeypatch):
    monkeypatch.setattr(session_module.time, "monotonic", clock := Clock())
    stop = StopSignals()
    session = _session(tmp_path, stop=stop)
    clock.now += 100
    stop.received = signal.SIGINT
    with pytest.raises(Stopped, match="SIGINT") as stopped:
        _go_on(session)
    assert stopped.value.exit_code == 130
    clock.now += 5000  # nobody trains
    second = _session(tmp_path)
    second.resume()
    assert 100 < second.wall_s < 120
