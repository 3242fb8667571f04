"""Captured functions on a CPU, and that the stand-in for CUDA graphs shows what a graph would do to careless ones."""

from __future__ import annotations

import pytest
import torch

from tests.recorded_graphs import RecordedGraphs
from workflow_scripts.core.capture import WARM_UP, captured, send

CPU = torch.device("cpu")


def test_on_a_cpu_it_is_the_function_itself():
    def function() -> None: ...

    assert captured(function, CPU) is function


def test_every_call_does_the_work_once_and_python_runs_until_it_is_recorded():
    total, given, calls = torch.zeros(()), torch.zeros(()), []

    def add() -> None:
        calls.append(None)
        total.add_(given)

    graphs = RecordedGraphs()
    call = captured(add, CPU, graphs)
    for number in range(1, 9):
        send(torch.tensor(float(number)), given)
        call()
        assert total.item() == number * (number + 1) / 2
    assert len(calls) == WARM_UP + 1
    assert (graphs.eager_calls, graphs.recordings, graphs.replays) == (WARM_UP, 1, 8 - WARM_UP)


def test_two_captured_functions_have_a_graph_each():
    one, two, graphs = torch.zeros(()), torch.zeros(()), RecordedGraphs()
    calls = captured(lambda: one.add_(1), CPU, graphs), captured(lambda: two.add_(10), CPU, graphs)
    for _ in range(WARM_UP + 3):
        for call in calls:
            call()
    assert (one.item(), two.item()) == (WARM_UP + 3, 10 * (WARM_UP + 3))


def _run(function, calls: int = WARM_UP + 3) -> None:
    call = captured(function, CPU, RecordedGraphs())
    for _ in range(calls):
        call()


def test_the_stand_in_keeps_what_python_decided_as_a_graph_does():
    step, seen = [0], torch.zeros(())

    def careless() -> None:
        step[0] += 1
        seen.fill_(step[0])

    _run(careless)
    assert seen.item() == WARM_UP + 1  # the recording's, in every later call


def test_the_stand_in_reads_the_tensor_that_was_recorded_and_not_one_that_took_its_name():
    held = {"input": torch.ones(())}
    total = torch.zeros(())
    call = captured(lambda: total.add_(held["input"]), CPU, RecordedGraphs())
    for number in range(WARM_UP + 3):
        held["input"] = torch.full((), float(number))
        call()
    assert total.item() == sum(range(WARM_UP + 1)) + 2 * WARM_UP


def test_the_stand_in_draws_anew_and_refuses_to_wait():
    drawn, kept = torch.zeros(4), []

    def noise() -> None:
        drawn.copy_(torch.nn.functional.dropout(torch.ones(4), 0.5))

    call = captured(noise, CPU, RecordedGraphs())
    for number in range(2 * WARM_UP + 2):
        torch.manual_seed(number % (WARM_UP + 1))
        call()
        kept.append(drawn.clone())
    # the same seeds first while it is only called, then replayed
    assert torch.equal(torch.stack(kept[: WARM_UP + 1]), torch.stack(kept[WARM_UP + 1 :]))
    assert not torch.equal(kept[0], kept[1])
    with pytest.raises(RuntimeError, match="waits for the device"):
        _run(lambda: drawn.fill_(float(drawn.sum())))
