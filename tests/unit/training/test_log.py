from __future__ import annotations

import pytest
import torch

from workflow_scripts.training.log import DivergedError, TrainingLog

NAMES = ("loss", "mse", "grad_norm")


def _add(log: TrainingLog, step: int, loss: float, grad_norm: float = 1.0) -> None:
    values = torch.tensor([loss, 2 * loss, grad_norm])
    log.add(step, values)
    values.fill_(-1.0)  # as the next step overwrites them


def test_rows_are_means_over_windows_and_the_last_may_be_shorter():
    log = TrainingLog(3, NAMES)
    for step in range(1, 8):
        _add(log, step, float(step), 10.0 * step)
        if step == 5:
            # a check in the middle of a window must not change it
            log.check(5)
    assert log.rows == [(3, 2.0, 4.0, 20.0), (6, 5.0, 10.0, 50.0)]
    log.close_window(7)
    assert log.rows[-1] == (7, 7.0, 14.0, 70.0) and len(log.rows) == 3


@pytest.mark.parametrize(
    ("loss", "grad_norm"), [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("inf"))]
)
def test_the_first_bad_step_is_named_and_the_steps_before_it_kept(loss, grad_norm):
    log = TrainingLog(4, NAMES)
    for step in range(1, 6):
        _add(log, step, float(step))
    _add(log, 6, loss, grad_norm)
    _add(log, 7, float("nan"))
    with pytest.raises(DivergedError, match="step 6"):
        log.check(7)
    rows = log.rows_until_failure()
    assert rows[:2] == [(4, 2.5, 5.0, 1.0), (5, 5.0, 10.0, 1.0)] and [row[0] for row in rows] == [4, 5, 6]


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_log_that_was_saved_in_the_middle_of_a_window_goes_on_bit_for_bit(cut):
    # thirds have no finite binary form, so a mean of rounded means would show
    straight, first, second = TrainingLog(5, NAMES), TrainingLog(5, NAMES), TrainingLog(5, NAMES)
    for step in range(1, 9):
        for log in (straight, first if step <= cut else second):
            _add(log, step, step / 3, step / 7)
        if step == cut:
            first.check(step)
            second.load_state_dict(first.state_dict())
    straight.close_window(8)
    second.close_window(8)
    assert second.rows == straight.rows and [row[0] for row in straight.rows] == [5, 8]
