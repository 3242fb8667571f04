"""A run in several sessions is the run in one: weights, log and checkpoints, wherever it was cut."""

from __future__ import annotations

import signal

import pytest
import torch

from tests.tiny_run import IMAGES, tiny_settings
from workflow_scripts.core.errors import PipelineError, Stopped, StopSignals
from workflow_scripts.training import loop
from workflow_scripts.training.log import DivergedError, TrainingLog
from workflow_scripts.training.loop import Session, train
from workflow_scripts.training.saved_run import SavedRun
from workflow_scripts.training.step import TrainingState, initial_state

NUM_STEPS, CHECKPOINT_STEPS, LOG_EVERY = 10, (3, 10), 4
# The first and last step, those of a checkpoint and of the log, and one after each.
CUTS = (1, 3, 4, 5, 10)
SETTINGS = tiny_settings(
    model={"base_channels": 4, "norm_groups": 2},
    training={"num_steps": NUM_STEPS, "checkpoint_steps": list(CHECKPOINT_STEPS), "log_every": LOG_EVERY},
)


class Clock:
    """Stands for time.monotonic; every call is one second later."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def _session(folder, every_s=1e9, stop=None, said=None) -> Session:
    state = initial_state(SETTINGS, torch.device("cpu"))
    log = TrainingLog(LOG_EVERY, state.method.columns)
    saved = SavedRun(folder, {"settings": SETTINGS}, (lambda line: None) if said is None else said.append)
    saved.prepare()
    return Session(SETTINGS, state, log, saved, every_s, stop or StopSignals())


def _go_on(session: Session, on_step=None) -> Session:
    session.resume()
    callbacks = (session.on_checkpoint, on_step or session.on_step)
    train(session.state, {"images": IMAGES}, SETTINGS, session.log, NUM_STEPS, CHECKPOINT_STEPS, *callbacks)
    return session


def _stopping(session: Session, at: int):
    """An `on_step` that finds SIGTERM after step `at`."""

    def on_step(state: TrainingState) -> None:
        session.stop.received = signal.SIGTERM if state.step == at else None
        session.on_step(state)

    return on_step


def _bytes(session: Session) -> list[bytes]:
    return [session.saved.checkpoint_path(step).read_bytes() for step in CHECKPOINT_STEPS]


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Session:
    return _go_on(_session(tmp_path_factory.mktemp("straight")))


@pytest.mark.parametrize("killed", [False, True])
def test_interrupted_at_a_step_it_ends_with_the_same_bytes(tmp_path, straight, monkeypatch, killed):
    """Stopped, it resumes from that step; killed before a step is saved, from the one before."""
    monkeypatch.setattr(loop, "MAX_SAVING_SHARE", 1e9)
    for cut in CUTS:
        first = _session(tmp_path / str(cut), every_s=0.0 if killed else 1e9)

        def on_step(state, first=first, cut=cut):
            if killed and state.step == cut:
                raise SystemError("killed")
            first.on_step(state)

        with pytest.raises(SystemError if killed else Stopped) as ended:
            _go_on(first, on_step if killed else _stopping(first, cut))
        if not killed:
            assert str(ended.value).startswith(f"stopped by SIGTERM; step {cut} is saved")
            assert ended.value.exit_code == 143
        second = _session(tmp_path / str(cut))
        assert second.resume() == (cut - 1 if killed else cut)
        _go_on(second)
        assert _bytes(second) == _bytes(straight), f"cut at step {cut}"
        assert second.log.rows == straight.log.rows and len(straight.log.rows) == 3, f"cut at step {cut}"


# One second per look at the clock: one look per step, and two more for a step that saves. With a share of
# 1 % saving takes 2 seconds of this clock, so the next one is 200 seconds away, not 1.
@pytest.mark.parametrize(("share", "every_s", "expected"), [(1e9, 3.0, [3, 6, 9]), (0.01, 1.0, [1])])
def test_it_saves_by_the_monotonic_clock_and_less_often_on_a_slow_disk(
    tmp_path, monkeypatch, share, every_s, expected
):
    steps = []
    monkeypatch.setattr(loop.time, "monotonic", Clock())
    monkeypatch.setattr(loop, "MAX_SAVING_SHARE", share)
    monkeypatch.setattr(loop.time, "time", lambda: pytest.fail("the time of day may jump"))
    monkeypatch.setattr(SavedRun, "save", lambda self, step, content: steps.append(step))
    _go_on(_session(tmp_path, every_s=every_s))
    assert steps == expected


def test_a_full_disk_is_reported_and_ends_training_only_after_a_signal(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "MAX_SAVING_SHARE", 1e9)
    said, save, calls = [], SavedRun.save, []
    session = _session(tmp_path, 0.0, said=said)

    def full(self, step, content):
        calls.append(step)
        if step > 2:
            raise PipelineError("cannot write step.state: No space left on device")
        save(self, step, content)

    monkeypatch.setattr(SavedRun, "save", full)
    message = "stopped, and step 6 is lost; step 2 is saved: cannot write step.state: No space"
    with pytest.raises(PipelineError, match=message):
        _go_on(session, _stopping(session, 6))
    assert calls == [1, 2, 3, 4, 5, 6]
    assert [line.split(":")[0] for line in said] == [
        f"training goes on without having saved step {step}" for step in (3, 4, 5)
    ]


def test_seconds_of_all_sessions_count(tmp_path, monkeypatch):
    monkeypatch.setattr(loop.time, "monotonic", clock := Clock())
    session = _session(tmp_path)
    clock.now += 100
    session.stop.received = signal.SIGINT
    with pytest.raises(Stopped, match="SIGINT") as stopped:
        _go_on(session)
    assert stopped.value.exit_code == 130
    clock.now += 5000  # nobody trains
    second = _session(tmp_path)
    second.resume()
    assert 100 < second.wall_s < 120


def _poison(state: TrainingState) -> None:
    with torch.no_grad():
        next(state.model.parameters()).fill_(float("nan"))


def test_what_is_not_finite_is_never_saved(tmp_path):
    session = _session(tmp_path)
    stop_at_6 = _stopping(session, 6)

    def on_step(state):
        if state.step == 5:
            _poison(state)
        stop_at_6(state)

    with pytest.raises(DivergedError, match="diverged at step 6"):
        _go_on(session, on_step)
    assert list(session.saved.folder.glob("*.state")) == []


def test_divergence_names_arm_seed_and_step_and_offers_no_checkpoint_after_it():
    state, offered = initial_state(SETTINGS, torch.device("cpu")), []
    log = TrainingLog(4, state.method.columns)

    def poison(state: TrainingState) -> None:
        offered.append(state.step)
        _poison(state)

    with pytest.raises(PipelineError, match="E1_test, seed 5, diverged at step 7: loss nan"):
        train(state, {"images": IMAGES}, SETTINGS, log, 12, checkpoint_steps=(6, 7), on_checkpoint=poison)
    assert offered == [6]
    assert [row[0] for row in log.rows_until_failure()] == [4, 5, 6, 7]
