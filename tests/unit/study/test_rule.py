"""The locked rule: every branch, its boundaries, its interval and its simulated error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from workflow_scripts.study.rule import (
    NUM_SEEDS,
    NUM_SIMULATIONS,
    combined_outcome,
    confidence_for,
    decide_outcomes,
    error_rates,
    family_false_verdicts,
    simulate_differences,
    study_outcome,
    t_interval,
)

MARGIN = 0.1


def log_margin(threshold):
    return -math.log1p(-threshold)


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
        (-0.0999, 0.0998, "inconclusive"),
        (-0.05, 0.0501, "inconclusive"),  # an end of the interval just beyond the margin
        (0.05, 0.0499, "neutral"),
        (-0.05, 0.05, "inconclusive"),  # an end exactly on the margin is not inside it
        (-0.10, 0.00, "better"),  # no spread at all
        (0.00, 0.00, "neutral"),
    ],
)
def test_every_branch_and_its_boundaries(mean, half_width, outcome):
    assert decide_outcomes(spread(mean, half_width), 0.95, MARGIN) == outcome


@pytest.mark.parametrize(
    "mean, half_width, noninferiority, bound",
    [
        (0.00, 0.09, "held", "held"),
        (-0.20, 0.09, "held", "failed"),  # negative is good: no end there for noninferiority
        (-0.05, 0.06, "held", "inconclusive"),
        (0.05, 0.06, "inconclusive", "inconclusive"),
        (0.05, 0.0499, "held", "held"),
        (0.05, 0.05, "inconclusive", "inconclusive"),  # an end exactly on the margin is not inside it
        (0.15, 0.0501, "inconclusive", "inconclusive"),
        (0.15, 0.0499, "failed", "failed"),
        (0.10, 0.00, "inconclusive", "inconclusive"),  # nor beyond it
        (0.00, 0.30, "inconclusive", "inconclusive"),
    ],
)
def test_a_claim_holds_within_its_margin_or_bound_and_fails_beyond(mean, half_width, noninferiority, bound):
    differences = spread(mean, half_width)
    assert decide_outcomes(differences, 0.95, MARGIN, "noninferiority") == noninferiority
    assert decide_outcomes(differences, 0.95, MARGIN, "bound") == bound


def test_each_row_of_a_stack_is_decided_and_a_higher_confidence_needs_more_evidence():
    stack = np.stack([spread(-0.2, 0.19), spread(0.2, 0.1), spread(0.0, 0.05)])
    assert decide_outcomes(stack, 0.95, MARGIN).tolist() == ["better", "worse", "neutral"]
    assert decide_outcomes(stack, 0.975, MARGIN).tolist() == ["inconclusive", "worse", "neutral"]


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
        (["better", "neutral", "inconclusive", "not_run"], "better"),
        (["worse", "neutral", "inconclusive"], "worse"),
        (["better", "worse"], "inconclusive"),
        (["neutral", "neutral"], "neutral"),
        (["neutral", "inconclusive"], "inconclusive"),
        (["neutral", "not_run"], "inconclusive"),
        ([], "inconclusive"),
        (["better", "held", "inconclusive"], "better"),
        (["better", "failed"], "inconclusive"),
        (["worse", "held", "failed"], "worse"),
        (["failed", "held", "neutral", "not_run"], "failed"),
        (["held", "held"], "held"),
        (["held", "neutral"], "held"),
        (["held", "inconclusive"], "inconclusive"),
        (["held", "not_run"], "inconclusive"),
    ],
)
def test_outcome_of_the_study(outcomes, expected):
    assert study_outcome(outcomes) == expected


@pytest.mark.parametrize(
    "outcomes, all_of, any_of",
    [
        (["better", "held"], "held", "held"),
        (["held", "inconclusive"], "inconclusive", "held"),
        (["held", "not_run"], "inconclusive", "held"),
        (["held", "neutral"], "failed", "held"),
        (["failed", "inconclusive"], "failed", "inconclusive"),
        (["worse", "not_run"], "failed", "inconclusive"),
        (["failed", "worse", "neutral"], "failed", "failed"),
        (["inconclusive", "not_run"], "inconclusive", "inconclusive"),
        (["not_run", "not_run"], "not_run", "not_run"),
    ],
)
def test_outcome_of_a_combination(outcomes, all_of, any_of):
    assert combined_outcome("all_of", outcomes) == all_of
    assert combined_outcome("any_of", outcomes) == any_of


# --- simulated error rates, against closed forms and against rules that fail

# From far below the margin (the rule never errs) to far above it (the interval alone decides).
LOG_SDS = (1e-6, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)


def stderr(rate):
    return math.sqrt(rate * (1 - rate) / NUM_SIMULATIONS)


@pytest.mark.parametrize("threshold", [0.07, 0.10])
@pytest.mark.parametrize("log_sd", LOG_SDS)
def test_false_verdicts_stay_within_the_level(log_sd, threshold):
    # 3 Monte Carlo standard errors of a 5 % rate are 0.46 percentage points
    for entry in error_rates((log_sd, log_margin(threshold), "superiority"), 0.95)["by_num_seeds"]:
        assert entry["false_verdicts"] <= 0.05 + 3 * stderr(0.05)


@pytest.mark.parametrize("num_seeds", NUM_SEEDS)
def test_a_naive_rule_fails_the_same_check(num_seeds):
    # the estimate beyond the threshold, whatever the interval says
    differences = simulate_differences(0.3, num_seeds)
    assert (np.abs(differences.mean(axis=-1)) >= log_margin(0.07)).mean() > 0.05 + 3 * stderr(0.05)


@pytest.mark.parametrize("num_seeds", NUM_SEEDS)
def test_simulated_differences_are_normal_with_the_given_spread(num_seeds):
    differences = simulate_differences(0.1, num_seeds, true_difference=-0.05)
    assert differences.shape == (NUM_SIMULATIONS, num_seeds)
    # 4 standard errors of a mean and of a variance over all draws
    count = differences.size
    assert differences.mean() == pytest.approx(-0.05, abs=4 * 0.1 / math.sqrt(count))
    assert differences.var() == pytest.approx(0.01, rel=4 * math.sqrt(2 / count))
    # the tails of the means over seeds, in closed form
    expected = math.erfc(0.07 * math.sqrt(num_seeds) / 0.1 / math.sqrt(2))
    observed = (np.abs(differences.mean(axis=-1) + 0.05) >= 0.07).mean()
    assert observed == pytest.approx(expected, abs=4 * stderr(expected))


@pytest.mark.parametrize("confidence", [0.95, 0.975])
def test_with_a_large_spread_the_rate_is_the_intervals_own_error(confidence):
    # every estimate is then beyond the margin, so a false verdict is an interval that misses zero
    expected = 1 - confidence
    for entry in error_rates((100.0, log_margin(0.07), "superiority"), confidence)["by_num_seeds"]:
        assert entry["false_verdicts"] == pytest.approx(expected, abs=4 * stderr(expected))


def test_with_a_tiny_spread_power_has_its_closed_form():
    # the estimate reaches a margin that is the truth in half of all cases, and half the truth in all of them
    for entry in error_rates((1e-6, log_margin(0.07), "superiority"), 0.95)["by_num_seeds"]:
        assert entry["false_verdicts"] == 0
        assert entry["power_at_threshold"] == pytest.approx(0.5, abs=4 * stderr(0.5))
        assert entry["power_at_twice_threshold"] == 1


def test_power_grows_with_seeds_and_falls_with_spread():
    by_sd = {
        log_sd: error_rates((log_sd, log_margin(0.07), "superiority"), 0.975)["by_num_seeds"]
        for log_sd in (0.03, 0.1)
    }
    for entries in by_sd.values():
        powers = [entry["power_at_twice_threshold"] for entry in entries]
        assert powers == sorted(powers) and powers[0] < powers[-1]
        assert all(entry["power_at_threshold"] <= 0.5 + 3 * stderr(0.5) for entry in entries)
    for tight, wide in zip(by_sd[0.03], by_sd[0.1], strict=True):
        assert tight["power_at_twice_threshold"] > wide["power_at_twice_threshold"]


@pytest.mark.parametrize("log_sd", LOG_SDS)
@pytest.mark.parametrize("num_members", [1, 2, 5])
def test_a_family_together_errs_at_most_5_percent(num_members, log_sd):
    members = [(log_sd, log_margin(0.07), "superiority")] * num_members
    confidence = 1 - 0.05 / num_members
    for num_seeds in NUM_SEEDS:
        assert family_false_verdicts(members, confidence, num_seeds) <= 0.05 + 3 * stderr(0.05)


def test_a_family_without_bonferroni_fails_the_same_check_as_theory_says():
    # two independent intervals at 95 % miss with 1 - 0.95² = 9.75 %; members sharing draws would give 5 %
    rate = family_false_verdicts([(100.0, 0.07, "superiority")] * 2, 0.95, 5)
    assert rate > 0.05 + 3 * stderr(0.05)
    assert rate == pytest.approx(0.0975, abs=4 * stderr(0.0975))


def chance_of_held(test, truth, sd, num_seeds, confidence):
    """P(held) for a truth in units of a margin of 1, from the distributions of Student's t and of the sd."""
    quantile, df = stats.t.ppf((1 + confidence) / 2, num_seeds - 1), num_seeds - 1
    if test == "noninferiority":
        return stats.nct.sf(quantile, df, (1 - truth) * math.sqrt(num_seeds) / sd)
    # given the sample's sd, the mean is normal and must stay half a width away from both ends
    chances = (np.arange(20_000) + 0.5) / 20_000
    half = quantile * sd * np.sqrt(stats.chi2.ppf(chances, df) / df / num_seeds)
    room, scale = np.maximum(1 - half, 0), sd / math.sqrt(num_seeds)
    inside = stats.norm.cdf((room - truth) / scale) - stats.norm.cdf((-room - truth) / scale)
    return inside[half < 1].sum() / len(chances)


@pytest.mark.parametrize("sd", [0.05, 0.4, 1.0])
@pytest.mark.parametrize(
    "test, power", [("noninferiority", "power_at_no_difference"), ("bound", "power_at_middle")]
)
def test_rates_of_margins_and_bounds_are_those_of_students_t(test, power, sd):
    rates = error_rates((sd * MARGIN, MARGIN, test), 0.95)["by_num_seeds"]
    assert [entry["num_seeds"] for entry in rates] == list(NUM_SEEDS)
    for entry in rates:
        for rate, truth in (("false_verdicts", 1.0), (power, 0.0)):
            expected = chance_of_held(test, truth, sd, entry["num_seeds"], 0.95)
            assert entry[rate] == pytest.approx(expected, abs=4 * stderr(expected) + 1e-4), rate
        assert entry["false_verdicts"] <= 0.025 + 3 * stderr(0.025)


def test_rates_of_differences_are_those_of_ratios_with_the_same_spread_in_margins():
    # a margin of 1e-9 in the metric's unit counts no less than one of 0.1
    small, large = (error_rates((scale * 0.3, scale, "superiority"), 0.95) for scale in (1.0, 1e3))
    assert small == large


def test_a_family_of_every_kind_errs_as_its_members_together():
    # far from each margin but for the interval's own error: 5 % of both sides, and 2.5 % of one side
    members = [(100.0, 0.07, "superiority"), (0.01, 1.0, "noninferiority"), (0.01, 1.0, "bound")]
    expected = 1 - 0.95 * 0.975 * 0.975
    for num_seeds in NUM_SEEDS:
        rate = family_false_verdicts(members, 0.95, num_seeds)
        assert rate == pytest.approx(expected, abs=4 * stderr(expected))
        assert family_false_verdicts(members, 1 - 0.05 / 3, num_seeds) <= 0.05 + 3 * stderr(0.05)
