"""Labels beside lines: apart, in order, inside where they fit, and moved no further than they must."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.report.direct_labels import spread
from workflow_scripts.report.style import balanced, readable_ticks

BOXES = st.lists(st.tuples(st.floats(0, 100), st.floats(1, 20)), min_size=1, max_size=12)


@given(BOXES)
def test_boxes_never_overlap_keep_their_order_and_stay_inside_if_they_fit(boxes):
    wanted, heights = [list(part) for part in zip(*boxes)]
    placed = spread(wanted, heights, 100.0)
    order = sorted(range(len(boxes)), key=lambda index: placed[index])
    for below, above in zip(order, order[1:]):
        assert placed[above] - placed[below] >= (heights[above] + heights[below]) / 2 - 1e-9
        assert wanted[below] <= wanted[above]
    if sum(heights) <= 100:
        assert placed[order[0]] - heights[order[0]] / 2 >= -1e-9
        assert placed[order[-1]] + heights[order[-1]] / 2 <= 100 + 1e-9


def test_a_box_with_room_stays_where_it_wants_to_be():
    assert spread([20.0, 70.0], [10.0, 10.0], 100.0) == [20.0, 70.0]
    assert spread([1.0, 99.0], [10.0, 10.0], 100.0) == [5.0, 95.0]


def test_boxes_that_want_one_place_share_the_way():
    assert spread([50.0, 50.0], [10.0, 10.0], 100.0) == pytest.approx([55.0, 45.0])
    assert spread([-math.inf, 50.0], [10.0, 10.0], 100.0) == [5.0, 50.0]


def test_lines_are_broken_evenly_and_no_word_is_lost():
    assert balanced("linear betas, Min-SNR γ=5", 24) == "linear betas,\nMin-SNR γ=5"
    assert balanced("short", 24) == "short"
    assert balanced("x" * 30, 24).replace("\n", "") == "x" * 30


def test_ticks_that_would_touch_are_left_out():
    assert readable_ticks([10, 20, 25, 50, 100, 250], 8, 312) == [10, 20, 50, 100, 250]
    assert readable_ticks([10, 50], 8, 60) == [10, 50]
