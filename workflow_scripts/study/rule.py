"""The decision rules, and their simulated error rates: false verdicts, and power.

Everything here is about one number per seed on the scale of `estimands.scale_of`: negative is good, 0 is no
difference or the middle of a bound, and `margin` is the edge. The first study locked superiority.

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
from workflow_scripts.study.estimands import BOUND, NONINFERIORITY, SUPERIORITY

BETTER, WORSE, NEUTRAL, INCONCLUSIVE = "better", "worse", "neutral", "inconclusive"
HELD, FAILED, NOT_RUN = "held", "failed", "not_run"

# A mean this close to the margin has reached it: 93 against 100 is 7 % lower, however it was rounded.
ROUNDING = 1e-9

NUM_SEEDS = (3, 5, 10)
NUM_SIMULATIONS = 20_000
_SEED = 0


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
    mean = differences.mean(axis=-1)
    half = half_width(differences.std(axis=-1, ddof=1), differences.shape[-1], confidence)
    return mean, mean - half, mean + half


def half_width(sd: Any, num: int, confidence: float) -> Any:
    """Half the width of Student's t interval of `num` values with the standard deviation `sd`, any shape."""
    from scipy import stats  # takes half a second, which planning must not spend

    return stats.t.ppf((1 + confidence) / 2, num - 1) * sd / math.sqrt(num)


def decide_outcomes(
    differences: np.ndarray, confidence: float, margin: float, test: str = SUPERIORITY
) -> np.ndarray:
    """The outcome of each set of differences [..., n]; returns [...]. Inconclusive unless stated here.

    Better: the mean reaches -margin and the interval lies below 0. Worse: the mean reaches +margin and the
    interval lies above 0. Neutral: the whole interval lies inside (-margin, +margin).
    A bound has held when the whole interval lies inside (-margin, +margin), and failed when all of it lies
    beyond one end. Noninferiority has the upper end only.
    """
    mean, low, high = t_interval(differences, confidence)
    reached, beyond = margin - ROUNDING, margin + ROUNDING
    if test != SUPERIORITY:
        one_sided = test == NONINFERIORITY
        held = (high < reached) & (one_sided | (low > -reached))
        failed = (low > beyond) | (not one_sided) & (high < -beyond)
        return np.select([held, failed], [HELD, FAILED], default=INCONCLUSIVE)
    return np.select(
        [(mean <= -reached) & (high < 0), (mean >= reached) & (low > 0), (low > -reached) & (high < reached)],
        [BETTER, WORSE, NEUTRAL],
        default=INCONCLUSIVE,
    )


def combined_outcome(how: str, outcomes: list[str]) -> str:
    """Outcome of `all_of` or `any_of` several hypotheses.

    Better and held show a claim; worse, failed and neutral (too small a change) refute it; inconclusive and
    not run leave it open. `all_of` has held when all are shown, and failed once one is refuted; `any_of` has
    held once one is shown, and failed when all are refuted. Else it is inconclusive, or not run if none was.
    """
    shown = [outcome in (BETTER, HELD) for outcome in outcomes]
    refuted = [outcome in (WORSE, FAILED, NEUTRAL) for outcome in outcomes]
    held, failed = (all(shown), any(refuted)) if how == "all_of" else (any(shown), all(refuted))
    undecided = NOT_RUN if set(outcomes) == {NOT_RUN} else INCONCLUSIVE
    return HELD if held else FAILED if failed else undecided


def study_outcome(outcomes: list[str]) -> str:
    """Outcome of the study from its confirmatory hypotheses, of which a combination stands for its parts.

    Better when one is better and none worse or failed; beside these it is inconclusive. Without a better one,
    worse when one is worse (that another held makes up for nothing), else failed when one failed. Without any
    of these, held when one held and the rest held or are neutral, neutral when all are, else inconclusive.
    """
    found = set(outcomes)
    if BETTER in found:
        return INCONCLUSIVE if found & {WORSE, FAILED} else BETTER
    rest = HELD if found and found <= {HELD, NEUTRAL} else INCONCLUSIVE
    return WORSE if WORSE in found else FAILED if FAILED in found else NEUTRAL if found == {NEUTRAL} else rest


def simulate_differences(
    sd: float, num_seeds: int, true_difference: float = 0.0, member: int = 0
) -> np.ndarray:
    """Differences [NUM_SIMULATIONS, num_seeds]; each `member` of a family has its own draws."""
    normal = stream(_SEED, "error_rates", num_seeds, member).standard_normal((NUM_SIMULATIONS, num_seeds))
    return true_difference + sd * normal


# Per test, each rate: the true difference in margins, and the outcomes whose chance it is.
_RATES = {
    SUPERIORITY: {
        "false_verdicts": (0.0, (BETTER, WORSE)),
        "power_at_threshold": (-1.0, BETTER),
        "power_at_twice_threshold": (-2.0, BETTER),
    },
    NONINFERIORITY: {"false_verdicts": (1.0, HELD), "power_at_no_difference": (0.0, HELD)},
    BOUND: {"false_verdicts": (1.0, HELD), "power_at_middle": (0.0, HELD)},
}
Member = tuple[float, float, str]  # sd, margin, test


def error_rates(member: Member, confidence: float) -> dict[str, Any]:
    """False verdict rate and power for 3, 5 and 10 seeds.

    Superiority: false is better or worse without a true difference. Power is the chance of `better` when the
    true difference is the margin (7 %) or twice the margin (13.5 %). At the margin it cannot pass one half:
    half of all estimates fall short of the truth. A margin or bound: false is held when the truth lies at its
    edge, and power is the chance of `held` without a difference, or in the middle of the bound.
    """
    return {
        "num_simulations": NUM_SIMULATIONS,
        "monte_carlo_stderr_at_most": 0.5 / math.sqrt(NUM_SIMULATIONS),
        "by_num_seeds": [
            {"num_seeds": num}
            | {rate: float(_occurs(rate, member, confidence, num).mean()) for rate in _RATES[member[2]]}
            for num in NUM_SEEDS
        ],
    }


def power(member: Member, confidence: float, num_seeds: int) -> float:
    """The largest power of `error_rates`, of this number of seeds; a change has twice the threshold."""
    return float(_occurs([*_RATES[member[2]]][-1], member, confidence, num_seeds).mean())


def chance_of_an_outcome(member: Member, confidence: float, num_seeds: int) -> float:
    """Chance of an outcome other than inconclusive: the smaller of no difference and twice the margin."""
    sd, margin, test = member
    return min(
        float(np.mean(decide_outcomes(differences, confidence, margin, test) != INCONCLUSIVE))
        for differences in (simulate_differences(sd, num_seeds, truth * margin) for truth in (0.0, 2.0))
    )


def family_false_verdicts(members: Sequence[Member], confidence: float, num_seeds: int) -> float:
    """Chance that any of several hypotheses has a false verdict, as `error_rates` counts it.

    Members are drawn independently, close to the worst case: measured on the same runs they err together, and
    so fewer families hold an error. Bonferroni covers every case.
    """
    any_false = np.zeros(NUM_SIMULATIONS, dtype=bool)
    for number, member in enumerate(members):
        any_false |= _occurs("false_verdicts", member, confidence, num_seeds, number)
    return float(any_false.mean())


def _occurs(rate: str, member: Member, confidence: float, num_seeds: int, number: int = 0) -> np.ndarray:
    """Whether each simulated study [NUM_SIMULATIONS] has one of the outcomes that a rate counts."""
    sd, margin, test = member
    true, counted = _RATES[test][rate]
    differences = simulate_differences(sd, num_seeds, true * margin, number)
    return np.isin(decide_outcomes(differences, confidence, margin, test), counted)
