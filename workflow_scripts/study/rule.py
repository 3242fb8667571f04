"""The locked decision rule, and its simulated error rates: false verdicts, and power.

A paired difference is d_s = log(arm value / comparator value) of one seed s. Everything here is on that log
scale and oriented so that negative is good; relative numbers are exp(d) - 1.

The simulation draws differences from a normal distribution with the spread that was recorded between seeds.
Every number is a pure function of its arguments; with N simulations a rate p has standard error sqrt(p (1 -
p) / N).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from workflow_scripts.core.randomness import stream

BETTER, WORSE, NEUTRAL, INCONCLUSIVE = "better", "worse", "neutral", "inconclusive"
NOT_RUN = "not_run"

# A mean this close to the margin has reached it: 93 against 100 is 7 % lower, however it was rounded.
ROUNDING = 1e-9

NUM_SEEDS = (3, 5, 10)
NUM_SIMULATIONS = 20_000
_SEED = 0


def log_margin(threshold: float) -> float:
    """The smallest change that counts, m = -log(1 - threshold), for a relative threshold in (0, 1)."""
    return -math.log1p(-threshold)


def confidence_for(role: str, num_confirmatory: int, confidence: float, multiplicity: str) -> float:
    """Two-sided confidence of one hypothesis' interval.

    Bonferroni gives a confirmatory hypothesis, one of m in its experiment, 1 - (1 - confidence) / m, so that
    the experiment's chance of any false verdict stays at 1 - confidence. Exploratory ones are not adjusted.
    """
    if role == "confirmatory" and multiplicity == "bonferroni":
        return 1 - (1 - confidence) / num_confirmatory
    return confidence


def t_interval(differences: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, lower and upper end of Student's t interval with n - 1 degrees of freedom.

    `differences` is [..., n] with n >= 2; each result is [...].
    """
    from scipy import stats  # takes half a second, which planning must not spend

    num = differences.shape[-1]
    mean = differences.mean(axis=-1)
    quantile = stats.t.ppf((1 + confidence) / 2, num - 1)
    half_width = quantile * differences.std(axis=-1, ddof=1) / math.sqrt(num)
    return mean, mean - half_width, mean + half_width


def decide_outcomes(differences: np.ndarray, confidence: float, margin: float) -> np.ndarray:
    """Better, worse, neutral or inconclusive for each set of paired differences [..., n]; returns [...].

    Better: the mean reaches -margin and the interval lies below 0. Worse: the mean reaches +margin and the
    interval lies above 0. Neutral: the whole interval lies inside (-margin, +margin). Otherwise inconclusive.
    """
    mean, low, high = t_interval(differences, confidence)
    reached = margin - ROUNDING
    return np.select(
        [(mean <= -reached) & (high < 0), (mean >= reached) & (low > 0), (low > -reached) & (high < reached)],
        [BETTER, WORSE, NEUTRAL],
        default=INCONCLUSIVE,
    )


def study_outcome(outcomes: list[str]) -> str:
    """Outcome of the study from its confirmatory hypotheses.

    Better when one is better and none worse, worse when one is worse and none better, neutral when all are,
    else inconclusive.
    """
    if BETTER in outcomes and WORSE not in outcomes:
        return BETTER
    if WORSE in outcomes and BETTER not in outcomes:
        return WORSE
    return NEUTRAL if outcomes and all(outcome == NEUTRAL for outcome in outcomes) else INCONCLUSIVE


def simulate_differences(
    log_sd: float, num_seeds: int, true_difference: float = 0.0, member: int = 0
) -> np.ndarray:
    """Paired log differences [NUM_SIMULATIONS, num_seeds]; each `member` of a family has its own draws."""
    normal = stream(_SEED, "error_rates", num_seeds, member).standard_normal((NUM_SIMULATIONS, num_seeds))
    return true_difference + log_sd * normal


def error_rates(log_sd: float, margin: float, confidence: float) -> dict[str, Any]:
    """False verdict rate (better or worse without a true difference) and power, for 3, 5 and 10 seeds.

    Power is the chance of `better` when the true log difference is the margin (7 %) or twice the margin
    (13.5 %). At the margin it cannot pass one half: half of all estimates fall short of the truth.
    """

    def outcomes(num_seeds: int, true_difference: float) -> np.ndarray:
        return decide_outcomes(simulate_differences(log_sd, num_seeds, true_difference), confidence, margin)

    return {
        "log_sd_of_paired_difference": log_sd,
        "num_simulations": NUM_SIMULATIONS,
        "monte_carlo_stderr_at_most": 0.5 / math.sqrt(NUM_SIMULATIONS),
        "by_num_seeds": [
            {
                "num_seeds": num_seeds,
                "false_verdicts": float(np.isin(outcomes(num_seeds, 0.0), (BETTER, WORSE)).mean()),
                "power_at_threshold": float((outcomes(num_seeds, -margin) == BETTER).mean()),
                "power_at_twice_threshold": float((outcomes(num_seeds, -2 * margin) == BETTER).mean()),
            }
            for num_seeds in NUM_SEEDS
        ],
    }


def family_false_verdicts(members: Sequence[tuple[float, float]], confidence: float, num_seeds: int) -> float:
    """Chance that any of several hypotheses comes out better or worse when none has a true difference.

    `members` holds (log_sd, margin) of each. They are drawn independently, close to the worst case: measured
    on the same runs they err together, and so fewer families hold an error. Bonferroni covers every case.
    """
    any_false = np.zeros(NUM_SIMULATIONS, dtype=bool)
    for member, (log_sd, margin) in enumerate(members):
        differences = simulate_differences(log_sd, num_seeds, member=member)
        any_false |= np.isin(decide_outcomes(differences, confidence, margin), (BETTER, WORSE))
    return float(any_false.mean())
