"""The simulated error rates of the rule, against closed forms and against rules that fail."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workflow_scripts.study.error_rates import (
    NUM_SEEDS,
    NUM_SIMULATIONS,
    error_rates,
    family_false_verdicts,
    simulate_differences,
)
from workflow_scripts.study.rule import log_margin

# From far below the margin (the rule never errs) to far above it (the interval alone decides).
LOG_SDS = (1e-6, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)
THRESHOLDS = (0.07, 0.10)


def stderr(rate):
    return math.sqrt(rate * (1 - rate) / NUM_SIMULATIONS)


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("log_sd", LOG_SDS)
def test_false_verdicts_stay_within_the_level(log_sd, threshold):
    # 3 Monte Carlo standard errors of a 5 % rate are 0.46 percentage points
    for entry in error_rates(log_sd, log_margin(threshold), 0.95)["by_num_seeds"]:
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
    for entry in error_rates(100.0, log_margin(0.07), confidence)["by_num_seeds"]:
        assert entry["false_verdicts"] == pytest.approx(expected, abs=4 * stderr(expected))


def test_with_a_tiny_spread_power_has_its_closed_form():
    # the estimate reaches a margin that is the truth in half of all cases, and half the truth in all of them
    for entry in error_rates(1e-6, log_margin(0.07), 0.95)["by_num_seeds"]:
        assert entry["false_verdicts"] == 0
        assert entry["power_at_threshold"] == pytest.approx(0.5, abs=4 * stderr(0.5))
        assert entry["power_at_twice_threshold"] == 1


def test_power_grows_with_seeds_and_falls_with_spread():
    by_sd = {log_sd: error_rates(log_sd, log_margin(0.07), 0.975)["by_num_seeds"] for log_sd in (0.03, 0.1)}
    for entries in by_sd.values():
        powers = [entry["power_at_twice_threshold"] for entry in entries]
        assert powers == sorted(powers) and powers[0] < powers[-1]
        assert all(entry["power_at_threshold"] <= 0.5 + 3 * stderr(0.5) for entry in entries)
    for tight, wide in zip(by_sd[0.03], by_sd[0.1], strict=True):
        assert tight["power_at_twice_threshold"] > wide["power_at_twice_threshold"]


def test_the_record_states_spread_simulations_and_monte_carlo_error():
    rates = error_rates(0.03, 0.07, 0.95)
    assert rates["log_sd_of_paired_difference"] == 0.03
    assert rates["num_simulations"] == 20_000
    assert rates["monte_carlo_stderr_at_most"] == pytest.approx(0.0035, abs=5e-5)
    assert [entry["num_seeds"] for entry in rates["by_num_seeds"]] == [3, 5, 10]
    assert rates == error_rates(0.03, 0.07, 0.95)


@pytest.mark.parametrize("log_sd", LOG_SDS)
@pytest.mark.parametrize("num_members", [1, 2, 5])
def test_a_family_together_errs_at_most_5_percent(num_members, log_sd):
    members = [(log_sd, log_margin(0.07))] * num_members
    confidence = 1 - 0.05 / num_members
    for num_seeds in NUM_SEEDS:
        assert family_false_verdicts(members, confidence, num_seeds) <= 0.05 + 3 * stderr(0.05)


def test_a_family_without_bonferroni_fails_the_same_check_as_theory_says():
    # two independent intervals at 95 % miss with 1 - 0.95² = 9.75 %; members sharing draws would give 5 %
    rate = family_false_verdicts([(100.0, 0.07)] * 2, 0.95, 5)
    assert rate > 0.05 + 3 * stderr(0.05)
    assert rate == pytest.approx(0.0975, abs=4 * stderr(0.0975))
