"""Operations recorded on a CPU: the same bytes as the function's, and the function itself where they would not be."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from torch import nn

from workflow_scripts.core.capture import WARM_UP, captured
from workflow_scripts.core.recorded_operations import RecordedOperations, Tape

CPU = torch.device("cpu")
CALLS = WARM_UP + 4


def _values(make, graphs) -> list[bytes]:
    """What a new function's result holds after each call, the generator's state among it."""
    torch.manual_seed(3)
    function, result = make()
    call, seen = captured(function, CPU, graphs), []
    for _ in range(CALLS):
        call()
        seen.append(
            result.detach().clone().contiguous().numpy().tobytes() + torch.get_rng_state().numpy().tobytes()
        )
    assert len(set(seen)) == CALLS
    return seen


def _training():
    """Convolution, norm, attention, dropout, Adam: two results of one operation, views, gradients that add up."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.SiLU(), nn.Flatten(2), nn.Dropout(0.3))
    attention = nn.MultiheadAttention(36, 2)
    x, parameters = torch.randn(4, 3, 8, 8), [*network.parameters(), *attention.parameters()]
    optimizer = torch.optim.Adam(parameters, fused=True)

    def function() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            h = network(x)
            h = attention(h, h, h)[0] + h
        optimizer.zero_grad(set_to_none=False)
        h.float().square().mean().backward()
        optimizer.step()

    return function, parameters[0]


def _overlapping_views():
    whole = torch.zeros(4, 3)
    row, column, corner = whole[1], whole[:, 1], whole.view(-1)[:2]

    def function() -> None:
        row.add_(1)
        whole.mul_(2)
        column.add_(row.sum())
        corner.detach().sub_(whole[3, :2])

    return function, whole


def _random():
    drawn = torch.zeros(5)

    def function() -> None:
        bits = torch.empty(2, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:5]
        drawn.copy_(bits.ge_(0) + torch.randn(5))

    return function, drawn


@pytest.mark.parametrize("make", [_training, _overlapping_views, _random])
def test_every_call_leaves_the_functions_own_bytes(make):
    plain, graphs = _values(make, None), RecordedOperations()
    assert _values(make, graphs) == plain
    assert graphs.operations > 2


def _outside_torch():
    total = torch.zeros(3)

    def function() -> None:
        total.add_(torch.from_numpy(np.sqrt(total.numpy() + 1.0)))

    return function, total


def _changed_outside_torch():
    total, x = torch.zeros(3), torch.ones(3)

    def function() -> None:
        x.numpy()[:] *= 2.0
        total.add_(x)
        total.add_(torch.from_numpy(np.sqrt(x.numpy())))

    return function, total


def _counted_by_python():
    total, step = torch.zeros(3), [0]

    def function() -> None:
        step[0] += 1
        total.add_(step[0])

    return function, total


def _looked_at():
    total = torch.zeros(3)

    def function() -> None:
        total.add_(1.0 if total.sum().item() < 7 else 2.5)

    return function, total


def _as_many_as_a_mask_has():
    total, step = torch.zeros(3), torch.arange(3.0)

    def function() -> None:
        total.add_(len(step[step > total[0]]) + 1.0)

    return function, total


@pytest.mark.parametrize(
    "make", [_outside_torch, _changed_outside_torch, _counted_by_python, _looked_at, _as_many_as_a_mask_has]
)
def test_what_cannot_be_recorded_is_called_every_time(make):
    graphs = RecordedOperations()
    assert _values(make, graphs) == _values(make, None)
    assert graphs.operations == 0


def test_what_is_freed_while_a_function_runs_is_freed_while_it_is_recorded():
    x, alive = torch.ones(4), []

    def function() -> None:
        made = x * 2
        first = weakref.ref(made.untyped_storage())
        made = made + 1
        alive.append(first() is not None)
        x.copy_(made)

    function()
    with Tape():
        function()
    assert alive == [False, False]
