"""How the number of samples affects a Fréchet distance: its scatter and its bias."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from workflow_scripts.core.randomness import stream
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.statistics import GaussianStatistics, normal_interval, statistics_of

NUM_RESAMPLES = 100
PARTS = (8, 4, 2)
NUM_DISTANCES = 1 + NUM_RESAMPLES + sum(PARTS)
# Fixed, so that runs with the same number of samples draw the same resamples.
SEED = 0


def finite_sample(
    features: np.ndarray,
    reference: GaussianStatistics,
    on_distance: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Measure the distance of features [N, D], its bootstrap interval, and the distance of fewer vectors.

    `stderr` is the standard deviation over 100 resamples of the N vectors, the reference kept, and `interval`
    the 95 % normal interval from it (Efron and Tibshirani 1993, chapter 13). It does not cover the bias: a
    distance from few samples is too high (Chong and Forsyth 2020), and repeated vectors raise it again, so
    the resamples' own mean is not used. `resamples` are their distances: of runs with equally many samples,
    entry by entry of the same sample numbers (study/power.py). The bias shows in `by_num_samples`: mean
    distances of the disjoint eighths, quarters and halves, then of all. `on_distance(done)` counts up to
    NUM_DISTANCES. PipelineError below 16 vectors.
    """
    done = itertools.count(1)

    def distance(vectors: np.ndarray) -> float:
        value = frechet_distance(statistics_of(vectors), reference)
        on_distance(next(done))
        return value

    count = len(features)
    value = distance(features)
    draws = (stream(SEED, "bootstrap", n).integers(0, count, size=count) for n in range(NUM_RESAMPLES))
    resamples = [distance(features[chosen]) for chosen in draws]
    stderr = float(np.std(resamples, ddof=1))
    by_num_samples = []
    for parts in PARTS:
        size = count // parts
        distances = [distance(features[part * size : (part + 1) * size]) for part in range(parts)]
        by_num_samples.append({"num_samples": size, "value": float(np.mean(distances))})
    return {
        "num_samples": count,
        "value": value,
        "stderr": stderr,
        "interval": list(normal_interval(value, stderr)),
        "num_resamples": NUM_RESAMPLES,
        "resamples": resamples,
        "by_num_samples": [*by_num_samples, {"num_samples": count, "value": value}],
    }
