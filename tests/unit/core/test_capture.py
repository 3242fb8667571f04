"""Captured functions; and the stand-in for CUDA graphs shows what a graph does to careless functions."""

from __future__ import annotations

import pytest
import torch

from tests.recorded_graphs import record_on_a_cpu
from workflow_scripts.core.capture import WARM_UP, captured, send

CPU = torch.device("cpu")


def test_on_a_cpu_it_is_the_function_itself():
    def function() -> None: ...

    assert captured(function, CPU) is function


def test_every_call_does_the_work_once_and_python_runs_until_it_is_recorded(monkeypatch):
    total, given, calls = torch.zeros(()), torch.zeros(()), []

    def add() -> None:
        calls.append(None)
        total.add_(given)

    graphs = record_on_a_cpu(monkeypatch)
    call = captured(add, CPU)
    for number in range(1, 9):
        send(torch.tensor(float(number)), given)
        call()
        assert total.item() == number * (number + 1) / 2
    assert len(calls) == WARM_UP + 1
    assert (graphs.eager_calls, graphs.recordings, graphs.replays) == (WARM_UP, 1, 8 - WARM_UP)


def test_two_captured_functions_have_a_graph_each(monkeypatch):
    record_on_a_cpu(monkeypatch)
    one, two = torch.zeros(()), torch.zeros(())
    calls = captured(lambda: one.add_(1), CPU), captured(lambda: two.add_(10), CPU)
    for _ in range(WARM_UP + 3):
        for call in calls:
            call()
    assert (one.item(), two.item()) == (WARM_UP + 3, 10 * (WARM_UP + 3))


def test_the_stand_in_keeps_what_python_decided_and_reads_the_recorded_tensor(monkeypatch):
    record_on_a_cpu(monkeypatch)
    step, seen = [0], torch.zeros(())
    held = {"input": torch.ones(())}
    total = torch.zeros(())

    def careless() -> None:
        step[0] += 1
        seen.fill_(step[0])
        total.add_(held["input"])

    call = captured(careless, CPU)
    for number in range(WARM_UP + 3):
        held["input"] = torch.full((), float(number))  # another tensor under the same name
        call()
    assert seen.item() == WARM_UP + 1  # the recording's, in every later call
    assert total.item() == sum(range(WARM_UP + 1)) + 2 * WARM_UP


def test_the_stand_in_draws_anew_and_refuses_to_wait(monkeypatch):
    record_on_a_cpu(monkeypatch)
    drawn, kept = torch.zeros(4), []
    call = captured(lambda: drawn.copy_(torch.nn.functional.dropout(torch.ones(4), 0.5)), CPU)
    for number in range(2 * WARM_UP + 2):
        torch.manual_seed(number % (WARM_UP + 1))
        call()
        kept.append(drawn.clone())
    # The same seeds twice: first the function is called, then it is replayed.
    assert torch.equal(torch.stack(kept[: WARM_UP + 1]), torch.stack(kept[WARM_UP + 1 :]))
    assert not torch.equal(kept[0], kept[1])
    waits = captured(lambda: drawn.fill_(float(drawn.sum())), CPU)
    with pytest.raises(RuntimeError, match="waits for the device"):
        for _ in range(WARM_UP + 1):
            waits()
