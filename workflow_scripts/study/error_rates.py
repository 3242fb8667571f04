"""Simulated error rates of the locked rule: false verdicts without a true difference, power with one.

Paired log differences are drawn from a normal distribution with the spread that was recorded between seeds.
Every number is a pure function of its arguments; with N simulations a rate p has standard error sqrt(p (1 -
p) / N).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from workflow_scripts.core.randomness import stream
from workflow_scripts.study.rule import BETTER, WORSE, decide_outcomes

NUM_SEEDS = (3, 5, 10)
NUM_SIMULATIONS = 20_000
_SEED = 0


def simulate_differences(
    log_sd: float, num_seeds: int, true_difference: float = 0.0, member: int = 0
) -> np.ndarray:
    """Paired log differences [NUM_SIMULATIONS, num_seeds]; each `member` of a family has its own draws."""
    normal = stream(_SEED, "error_rates", num_seeds, member).standard_normal((NUM_SIMULATIONS, num_seeds))
    return true_difference + log_sd * normal


def error_rates(log_sd: float, margin: float, confidence: float) -> dict[str, Any]:
    """False verdict rate (better or worse without a true difference) and power, for 3, 5 and 10 seeds.

    Power is the chance of `better` when the true log difference is the margin (the threshold) or twice the
    margin, so 7 % or 13.5 %. At the threshold it cannot pass one half: half of all estimates fall short of
    the truth.
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

    `members` holds (log_sd, margin) of each. They are drawn independently, close to the worst case:
    hypotheses measured on the same runs err together, so fewer families hold an error. Bonferroni's bound
    covers every case.
    """
    any_false = np.zeros(NUM_SIMULATIONS, dtype=bool)
    for member, (log_sd, margin) in enumerate(members):
        differences = simulate_differences(log_sd, num_seeds, member=member)
        any_false |= np.isin(decide_outcomes(differences, confidence, margin), (BETTER, WORSE))
    return float(any_false.mean())
