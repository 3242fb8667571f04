"""The learning rate's schedule: diffusers' values, and the rate that Adam really takes."""

from __future__ import annotations

import pytest
import torch
from diffusers.optimization import get_scheduler
from torch.utils._pytree import tree_leaves

from tests.tiny_run import saved_and_loaded, tiny_settings, trained
from workflow_scripts.training.learning_rate import learning_rate_factor

COSINE = {"lr_schedule": "cosine"}


def test_cosine_agrees_with_diffusers():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_scheduler("cosine", optimizer, num_warmup_steps=0, num_training_steps=40)
    for step in range(40):
        ours = learning_rate_factor({"num_steps": 40, **COSINE}, step)
        assert ours == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_without_a_schedule_the_rate_is_a_plain_number():
    assert learning_rate_factor({}, 3) is None
    state, _ = trained(tiny_settings(), 1)
    assert state.trained["model"].optimizer.param_groups[0]["lr"] == 1e-3


def test_adam_takes_the_scheduled_rate():
    """Adam's first step moves each weight by the rate, whatever its gradient."""
    moved = []
    for num_steps in (12, 3):
        settings = tiny_settings(training=COSINE | {"num_steps": num_steps})
        state, _ = trained(settings, 2)
        before = state.trained["model"].weights.values.detach().clone()
        trained(settings, 3, state)
        moved.append((state.trained["model"].weights.values - before).norm())
        rate = state.trained["model"].optimizer.param_groups[0]["lr"]
        expected = 1e-3 * learning_rate_factor(settings["training"], 2)
        assert rate.item() == pytest.approx(expected, rel=1e-6)
    assert moved[1] < 0.5 * moved[0]


def test_a_resumed_run_ends_in_the_same_bytes():
    settings = tiny_settings(training=COSINE)
    whole, _ = trained(settings, 9)
    half, _ = trained(settings, 4)
    rest, _ = trained(settings, 9, saved_and_loaded(half, settings))
    ends = [state.state_dict() for state in (rest, whole)]
    ours, theirs = (tree_leaves([end["ema"], end["optimizers"]]) for end in ends)
    assert all(
        map(torch.equal, *([leaf for leaf in leaves if torch.is_tensor(leaf)] for leaves in (ours, theirs)))
    )
