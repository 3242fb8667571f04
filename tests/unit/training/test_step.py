"""A recorded and replayed training step is the step itself, byte for byte, dropout, EMA, log and resuming included."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from tests.recorded_graphs import NothingRecorded, RecordedGraphs
from workflow_scripts.core.capture import WARM_UP
from workflow_scripts.nets.unet import UNet
from workflow_scripts.training import state as state_module
from workflow_scripts.training.log import TrainingLog
from workflow_scripts.training.loop import train
from workflow_scripts.training.state import TrainingState, initial_state
from workflow_scripts.training.step import TrainingStep

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)


def _settings(**training) -> dict:
    return {
        "arm": "E1_test",
        "seed": 5,
        "data": {"image_size": 8, "channels": 1},
        "model": {
            "name": "unet_digits8",
            "base_channels": 8,
            "channel_mults": [1, 2],
            "num_res_blocks": 1,
            "attention_resolutions": [4],
            "dropout": 0.3,
            "norm_groups": 4,
        },
        "diffusion": {
            "schedule": "linear",
            "num_timesteps": 50,
            "beta_start": 1e-3,
            "beta_end": 0.2,
            "prediction_type": "v",
        },
        "loss": {"weighting": "min_snr", "min_snr_gamma": 5.0},
        "training": {
            "batch_size": 6,
            "learning_rate": 1e-2,
            "grad_clip_norm": 0.5,
            "ema_decay": 0.9,
            "precision": "fp32",
            "memory_format": "contiguous",
        }
        | training,
    }


def _bytes(state: TrainingState) -> list[bytes]:
    """Of every tensor: weights, EMA, Adam's moments and its count of steps."""
    values = [value for value in tree_leaves(state.state_dict()) if isinstance(value, torch.Tensor)]
    assert len(values) == 2 * len(list(state.model.parameters())) + 3
    return [value.contiguous().numpy().tobytes() for value in values]


def _trained(settings: dict, until: int, graphs=None, state: TrainingState | None = None, every: int = 1):
    state, log = state or initial_state(settings, CPU), TrainingLog(every)
    train(state, IMAGES, settings, log, until, graphs=graphs)
    return state, log.rows


@pytest.mark.parametrize(
    ("precision", "layout"),
    [("fp32", "contiguous"), ("fp32", "channels_last"), ("bf16", "contiguous"), ("bf16", "channels_last")],
)
def test_replayed_steps_are_the_steps(precision, layout):
    settings, graphs = _settings(precision=precision, memory_format=layout), RecordedGraphs()
    eager, eager_rows = _trained(settings, 12, NothingRecorded(), every=5)
    replayed, rows = _trained(settings, 12, graphs, every=5)
    assert _bytes(replayed) == _bytes(eager)
    assert rows == eager_rows and [row[0] for row in rows] == [5, 10, 12]
    assert (graphs.eager_calls, graphs.recordings, graphs.replays) == (WARM_UP, 1, 12 - WARM_UP)


@pytest.mark.parametrize(("precision", "layout"), [("fp32", "contiguous"), ("bf16", "channels_last")])
def test_on_a_cpu_the_network_is_called_until_it_is_recorded(precision, layout, monkeypatch):
    calls, forward = [], UNet.forward
    monkeypatch.setattr(
        UNet, "forward", lambda network, x, t: (calls.append(None), forward(network, x, t))[1]
    )
    settings = _settings(precision=precision, memory_format=layout)
    recorded, rows = _trained(settings, 12)
    assert len(calls) == WARM_UP + 2  # recorded, then proved
    eager, eager_rows = _trained(settings, 12, NothingRecorded())
    assert len(calls) == WARM_UP + 2 + 12
    assert _bytes(recorded) == _bytes(eager) and rows == eager_rows


@pytest.mark.parametrize("cut", [1, WARM_UP, WARM_UP + 1, 9])
def test_going_on_from_a_saved_state_records_anew_and_ends_with_the_same_bytes(cut):
    settings = _settings()
    first, _ = _trained(settings, cut, RecordedGraphs())
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    second = initial_state({**settings, "seed": 6}, CPU)
    second.load_state_dict(torch.load(buffer, weights_only=True))
    _trained(settings, 12, RecordedGraphs(), second)
    assert _bytes(second) == _bytes(_trained(settings, 12, NothingRecorded())[0])


def test_values_are_the_last_updates_and_overwritten_by_the_next():
    settings = _settings()
    _, rows = _trained(settings, 8)
    state = initial_state(settings, CPU)
    state.model.train()
    step = TrainingStep(state, IMAGES, settings, RecordedGraphs())
    place = step.values
    for row in rows:
        step.run()
        # a log with windows of one step holds the float32 values as Python's floats, exactly
        assert tuple(step.values.tolist()) == row[1:] and step.values is place
    assert state.step == 8


def test_adam_can_be_captured_on_a_gpu_and_counts_as_before_on_a_cpu(monkeypatch):
    assert initial_state(_settings(), CPU).optimizer.defaults["capturable"] is False
    monkeypatch.setattr(
        state_module, "place", lambda network, device, memory_format: network
    )  # there is no GPU to go to
    assert initial_state(_settings(), torch.device("cuda")).optimizer.defaults["capturable"] is True
