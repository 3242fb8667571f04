"""The locked decision rule, on arrays, shared by the verdict and the simulation of its error rates.

A paired difference is d_s = log(arm value / comparator value) of one seed s. Everything here is on that log
scale and oriented so that negative is good; relative numbers are exp(d) - 1.
"""

from __future__ import annotations

import math

import numpy as np

BETTER, WORSE, NEUTRAL, INCONCLUSIVE = "better", "worse", "neutral", "inconclusive"
NOT_RUN = "not_run"

# A mean this close to the margin has reached it: 93 against 100 is 7 % lower, however it was rounded.
ROUNDING = 1e-9


def log_margin(threshold: float) -> float:
    """The smallest change that counts, m = -log(1 - threshold), for a relative threshold in (0, 1)."""
    return -math.log1p(-threshold)


def confidence_for(role: str, num_confirmatory: int, confidence: float, multiplicity: str) -> float:
    """Two-sided confidence of one hypothesis' interval.

    With Bonferroni a confirmatory hypothesis that is one of m in its experiment gets 1 - (1 - confidence) /
    m, so that the experiment's chance of any false verdict stays at 1 - confidence. Exploratory ones are not
    adjusted.
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
