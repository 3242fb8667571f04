"""What it would take to decide a hypothesis: the spread between seeds, its parts, and seeds for enough power.

The spread of the estimand between seeds (of a ratio, of its logarithm) has two parts: the samples that a
metric was measured on, which more samples shrink, and training, which only more seeds average out. The part
of the samples is a paired bootstrap: arms redraw the same sample numbers, because equal numbers start from
equal noise. It is known for the Fréchet distance (metrics/finite_sample.py).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workflow_scripts.study import rule
from workflow_scripts.study.estimands import LEVEL
from workflow_scripts.study.verdict import member_of, metric_used, on_scale

TARGET = 0.8
CONFIDENCE = 0.95  # of the intervals of the spread and its parts
# More seeds than this are called too many.
MAX_SEEDS = 128
# The numbers of samples to plan for, as multiples of those that were measured.
FACTORS = (0.5, 1, 2, 4)
# The fewest samples that can be redrawn (metrics/finite_sample.py).
MIN_SAMPLES = 16


def redrawn_at(
    hypotheses: Sequence[Mapping[str, Any]], context: Mapping[str, Any], points_of: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """(arm, point) of the samples to redraw: those whose Fréchet distance a hypothesis is about.

    `points_of` maps each arm of the preset to its points; `context` is that of the verdict.
    """
    found = []
    for item in (item for item in hypotheses if not item["how"]):
        used, _ = metric_used(item, context)
        if used["metric"] == context["metric"]:
            found += [(item["arm"], used["point"]), (item["comparator"], used["comparator_point"])]
    return [
        (arm, point)
        for arm, point in dict.fromkeys(found)
        if point in points_of.get(arm, {}) and points_of[arm][point]["num_samples"] >= MIN_SAMPLES
    ]


def power_of(
    verdict: Mapping[str, Any], redrawn: Sequence[Mapping[str, Any]], preregistered_seeds: Mapping[str, int]
) -> dict[str, Any]:
    """The content of power.json, with an entry for each hypothesis but combinations.

    `redrawn` holds finite-sample measurements of runs, `preregistered_seeds` the seeds of each experiment.
    """
    by_run = {
        (item["metric"], item["arm"], item["seed"], item["from"]["point"]): np.array(item["resamples"])
        for item in redrawn
        if item.get("resamples")
    }
    named = ("study", "preset", "preregistered_preset", "rehearsal", "pilot")
    return {
        **{name: verdict[name] for name in named},
        "target": TARGET,
        "confidence": CONFIDENCE,
        "max_seeds": MAX_SEEDS,
        "hypotheses": [
            _hypothesis(item, by_run, preregistered_seeds[item["experiment"]])
            for item in verdict["hypotheses"]
            if not item["how"]
        ],
    }


def _hypothesis(
    item: Mapping[str, Any], by_run: Mapping[tuple[str, str, int, str], np.ndarray], preregistered_seeds: int
) -> dict[str, Any]:
    values = [on_scale(item["estimand"], *(seed[side] for side in _sides(item))) for seed in item["seeds"]]
    empty = dict.fromkeys(("spread", "from_samples", "from_training", "here", "preregistered", "settled_by"))
    entry = {name: item[name] for name in ("id", "experiment", "arm", "comparator", "role", "confidence")}
    entry |= {"num_seeds": len(values), "num_samples": (item["metric_used"] or {}).get("num_samples")}
    entry |= {**empty, "options": []}
    if len(values) < 2 or None in values:
        return entry
    variance = float(np.var(values, ddof=1))
    parts = {"spread": _of_variance(variance, len(values))}
    samples = _variances_of_samples(item, by_run)
    if samples is not None:
        parts["from_samples"] = _of_mean_variance(samples)
        parts["from_training"] = _of_difference(parts["spread"], parts["from_samples"])
    entry |= {name: _as_sd(part) for name, part in parts.items()}

    def sd_at(num_samples: float) -> float:
        if samples is None:
            return math.sqrt(variance)
        # where the samples alone would spread more than was seen, all of what was seen is theirs
        shrunk = min(parts["from_samples"][0], variance) * entry["num_samples"] / num_samples
        return math.sqrt(parts["from_training"][0] + shrunk)

    measured = entry["num_samples"]
    asked = item["metric"].get("num_samples") if samples is not None else measured
    counts = [measured] if samples is None else [round(measured * factor) for factor in FACTORS]
    entry["here"] = _option(item, sd_at(measured), measured, len(values))
    entry["preregistered"] = _option(item, sd_at(asked or measured), asked or measured, preregistered_seeds)
    entry["settled_by"] = fewest_seeds(item, sd_at(measured), rule.chance_of_an_outcome)
    entry["options"] = [
        _option(item, sd_at(count), count, fewest_seeds(item, sd_at(count), rule.power)) for count in counts
    ]
    return entry


def _sides(item: Mapping[str, Any]) -> tuple[str, ...]:
    return ("arm_value", "comparator_value")[: 1 if item["estimand"] == LEVEL else 2]


def _option(item: Mapping[str, Any], sd: float, num_samples: int | None, num_seeds: int | None) -> dict:
    """Power and expected half-width, on the estimand's scale, of so many samples and seeds."""
    found = {"num_samples": num_samples, "num_seeds": num_seeds, "sd": sd, "power": None, "half_width": None}
    if num_seeds is not None and num_seeds > 1:
        found["power"] = rule.power(member_of(item, sd), item["confidence"], num_seeds)
        found["half_width"] = rule.half_width(sd, num_seeds, item["confidence"])
    return found


def fewest_seeds(item: Mapping[str, Any], sd: float, chance: Any) -> int | None:
    """The smallest number of seeds at which the chance reaches TARGET; None above MAX_SEEDS."""

    def enough(num_seeds: int) -> bool:
        return chance(member_of(item, sd), item["confidence"], num_seeds) >= TARGET

    high = 2
    while not enough(high):
        if high == MAX_SEEDS:
            return None
        high = min(2 * high, MAX_SEEDS)
    between = range(high // 2 + 1, high)
    return high if high == 2 else between.start + bisect.bisect_left(between, True, key=enough)


def _variances_of_samples(
    item: Mapping[str, Any], by_run: Mapping[tuple[str, str, int, str], np.ndarray]
) -> np.ndarray | None:
    """Bootstrap variance of each seed's estimand [seeds]; None unless all its runs were redrawn.

    Of logarithms, not of relative errors: repeated vectors raise a redrawn distance, and its scatter with it.
    Measured on two digits arms against 120 fresh sets of 300 or 600 samples, the logarithms' scatter was 0.93
    to 0.97 of the true one, the relative errors' 1.3 to 1.7.
    """
    used = item["metric_used"]
    points = [(item["arm"], used["point"]), (item["comparator"], used["comparator_point"])]
    seeds: dict[str, set[int]] = {}
    for _, arm, seed, _ in by_run:
        seeds.setdefault(arm, set()).add(seed)
    single = {arm for arm, own in seeds.items() if own == {0}}  # those without training
    variances = []
    for measured in item["seeds"]:
        # Of an arm without training all seeds have the same samples, so those add nothing to the spread.
        runs = [
            np.full(1, measured[side])
            if arm in single
            else by_run.get((used["metric"], arm, measured["seed"], point))
            for side, (arm, point) in zip(_sides(item), points)
        ]
        if any(run is None for run in runs):
            return None
        runs = np.broadcast_arrays(*runs)
        scaled = [on_scale(item["estimand"], *both) for both in zip(*(run.tolist() for run in runs))]
        if None in scaled:
            return None
        variances.append(np.var(scaled, ddof=1))
    return np.array(variances)


# A variance with the ends of its interval.
Part = tuple[float, float, float]


def _of_variance(variance: float, num: int) -> Part:
    """The chi-squared interval of the variance of `num` normal values."""
    from scipy import stats  # takes half a second, which planning must not spend

    low, high = stats.chi2.ppf([(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2], num - 1)
    return variance, float(variance * (num - 1) / low), float(variance * (num - 1) / high)


def _of_mean_variance(variances: np.ndarray) -> Part:
    """The mean over seeds and its t interval, which holds the bootstrap's own scatter; not below 0."""
    mean, low, high = (float(value) for value in rule.t_interval(variances, CONFIDENCE))
    return mean, max(low, 0.0), high


def _of_difference(total: Part, part: Part) -> Part:
    """What is left of the total, with the interval from those of both (Zou and Donner 2008); not below 0."""
    left = total[0] - part[0]
    low = left - math.hypot(total[0] - total[1], part[2] - part[0])
    high = left + math.hypot(total[2] - total[0], part[0] - part[1])
    return max(left, 0.0), max(low, 0.0), max(high, 0.0)


def _as_sd(part: Part) -> dict[str, Any]:
    value, *ends = map(math.sqrt, part)
    return {"sd": value, "interval": ends}
