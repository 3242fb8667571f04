"""The locked rule: every branch, its boundaries, and the interval against scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from workflow_scripts.study.rule import confidence_for, decide_outcomes, log_margin, study_outcome, t_interval

MARGIN = 0.1


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.975])
@pytest.mark.parametrize("num_seeds", [2, 3, 10])
def test_the_interval_is_scipys_one_sample_t_interval(num_seeds, confidence):
    differences = np.random.default_rng(num_seeds).normal(-0.1, 0.3, num_seeds)
    mean, low, high = t_interval(differences, confidence)
    reference = stats.ttest_1samp(differences, 0.0).confidence_interval(confidence)
    # both are a handful of float64 operations on numbers near 1
    assert (low, high) == pytest.approx((reference.low, reference.high), rel=1e-12)
    assert mean == pytest.approx(differences.mean(), rel=1e-12)


@pytest.mark.parametrize("confidence, quantile", [(0.95, 4.303), (0.975, 6.205)])
def test_the_interval_by_hand(confidence, quantile):
    # -0.1, -0.2, -0.3: mean -0.2, standard deviation 0.1; t with 2 degrees of freedom from printed tables
    mean, low, high = t_interval(np.array([-0.1, -0.2, -0.3]), confidence)
    half = quantile * 0.1 / math.sqrt(3)
    assert (mean, low, high) == pytest.approx((-0.2, -0.2 - half, -0.2 + half), abs=5e-5)


def spread(mean, half_width):
    """Three differences whose 95 % t interval is mean ± half_width: (-a, 0, a) has standard deviation a."""
    a = half_width * math.sqrt(3) / stats.t.ppf(0.975, 2)
    return mean + a * np.array([-1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    "mean, half_width, outcome",
    [
        (-0.20, 0.19, "better"),
        (-0.20, 0.21, "inconclusive"),  # beyond the margin, but zero is inside the interval
        (-0.09, 0.05, "inconclusive"),  # zero excluded, but short of the margin and reaching beyond it
        (-0.05, 0.04, "neutral"),  # zero excluded, yet the whole interval is inside the margins
        (0.00, 0.05, "neutral"),
        (0.00, 0.11, "inconclusive"),
        (0.09, 0.05, "inconclusive"),
        (0.20, 0.19, "worse"),
        (0.20, 0.21, "inconclusive"),
        (-0.10, 0.05, "better"),  # the mean exactly on the margin has reached it
        (0.10, 0.05, "worse"),
        (-0.1001, 0.0999, "better"),
        (-0.0999, 0.0998, "inconclusive"),
        (-0.05, 0.0499, "neutral"),
        (-0.05, 0.0501, "inconclusive"),  # an end of the interval just beyond the margin
        (0.05, 0.0499, "neutral"),
        (0.05, 0.0501, "inconclusive"),
        (-0.05, 0.05, "inconclusive"),  # an end exactly on the margin is not inside it
        (-0.10, 0.00, "better"),  # no spread at all
        (0.00, 0.00, "neutral"),
    ],
)
def test_every_branch_and_its_boundaries(mean, half_width, outcome):
    assert decide_outcomes(spread(mean, half_width), 0.95, MARGIN) == outcome


def test_a_stack_of_differences_is_decided_row_by_row():
    cases = [(-0.2, 0.1, "better"), (0.2, 0.1, "worse"), (0.0, 0.05, "neutral"), (0.0, 0.5, "inconclusive")]
    stack = np.stack([spread(mean, half_width) for mean, half_width, _ in cases])
    assert decide_outcomes(stack, 0.95, MARGIN).tolist() == [outcome for *_, outcome in cases]


def test_a_higher_confidence_needs_more_evidence():
    differences = spread(-0.2, 0.19)
    assert decide_outcomes(differences, 0.95, MARGIN) == "better"
    assert decide_outcomes(differences, 0.975, MARGIN) == "inconclusive"


def test_the_margin_is_the_threshold_on_the_log_scale():
    assert math.exp(-log_margin(0.07)) == pytest.approx(0.93, rel=1e-15)
    for value in (93.0, 0.93, 9.3e-7):  # 7 % lower is 7 % lower, at any scale
        differences = np.full(3, math.log(value) - math.log(value / 0.93))
        assert decide_outcomes(differences, 0.95, log_margin(0.07)) == "better"


def test_bonferroni_shares_the_error_between_confirmatory_hypotheses_only():
    assert confidence_for("confirmatory", 2, 0.95, "bonferroni") == pytest.approx(0.975)
    assert confidence_for("confirmatory", 1, 0.95, "bonferroni") == pytest.approx(0.95)
    assert confidence_for("exploratory", 2, 0.95, "bonferroni") == 0.95
    assert confidence_for("confirmatory", 2, 0.95, "none") == 0.95


@pytest.mark.parametrize(
    "outcomes, expected",
    [
        (["better"], "better"),
        (["better", "neutral"], "better"),
        (["better", "inconclusive"], "better"),
        (["better", "not_run"], "better"),
        (["worse", "neutral", "inconclusive"], "worse"),
        (["better", "worse"], "inconclusive"),
        (["neutral", "neutral"], "neutral"),
        (["neutral", "inconclusive"], "inconclusive"),
        (["neutral", "not_run"], "inconclusive"),
        (["not_run"], "inconclusive"),
        ([], "inconclusive"),
    ],
)
def test_outcome_of_the_study(outcomes, expected):
    assert study_outcome(outcomes) == expected
