"""What a hypothesis is about, and the scale on which its test is decided; its keys are in config/schema.yaml.

Estimands, per seed: `ratio`, arm value / comparator value, on the log scale; `difference`, arm minus
comparator; `level`, the arm's value. A combination (`all_of`, `any_of`) names other hypotheses instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

Hypothesis = Mapping[str, Any]

RATIO, DIFFERENCE, LEVEL = "ratio", "difference", "level"
SUPERIORITY, NONINFERIORITY, BOUND = "superiority", "noninferiority", "bound"
LIMIT = {SUPERIORITY: "threshold", NONINFERIORITY: "margin", BOUND: "bound"}
# In verdict.json: the estimate of a hypothesis and of each seed, and the spread between seeds.
ESTIMATE = {RATIO: "relative_change", DIFFERENCE: "difference", LEVEL: "level", None: "estimate"}
SD = {RATIO: "log_sd_of_paired_difference", DIFFERENCE: "sd_of_paired_difference", LEVEL: "sd_of_level"}


def complete(hypothesis: Hypothesis) -> dict[str, Any]:
    """The hypothesis with every key that is read of all kinds; `how` is all_of, any_of or null."""
    how = next((name for name in ("all_of", "any_of") if name in hypothesis), None)
    kind = {"estimand": None, "test": None} if how else {"estimand": RATIO, "test": SUPERIORITY}
    return {"how": how, "arm": None, "comparator": None, "direction": None, **kind, **hypothesis}


def scale_of(hypothesis: Hypothesis) -> tuple[float, float, float]:
    """(centre, unit, margin): (d - centre) / unit is negative if good, and within ±margin too small to count.

    Of a margin or bound, +margin is an edge of what the claim allows. Where lower is better, a margin of 5 %
    allows a ratio of 1.05, else of 0.95. Differences and levels are counted in margins, whatever their unit.
    """
    limit = hypothesis[LIMIT[hypothesis["test"]]]
    sign = -1.0 if hypothesis["direction"] == "higher" else 1.0
    if hypothesis["test"] == BOUND:
        low, high = (_scaled(hypothesis, limit[end]) for end in ("low", "high"))
        centre, margin = (low + high) / 2, (high - low) / 2
    else:
        edge = -limit if hypothesis["test"] == SUPERIORITY else sign * limit
        centre, margin = 0.0, abs(_scaled(hypothesis, edge))
    return (centre, sign, margin) if hypothesis["estimand"] == RATIO else (centre, sign * margin, 1.0)


def estimate(hypothesis: Hypothesis) -> float | None:
    """The estimate in a verdict, as readers see it; of a ratio the relative change."""
    return hypothesis.get(ESTIMATE[hypothesis["estimand"]])


def in_margins(hypothesis: Hypothesis, value: float) -> float:
    """A value that readers see in margins from the centre, the larger to the right, for the forest plot."""
    centre, unit, margin = scale_of(hypothesis)
    return (_scaled(hypothesis, value) - centre) / abs(unit) / margin


def zone(hypothesis: Hypothesis) -> tuple[float, float]:
    """The ends of the changes too small to count, as readers see them: for a ratio not quite symmetric."""
    _, unit, margin = scale_of(hypothesis)
    return shown(hypothesis, -margin * abs(unit)), shown(hypothesis, margin * abs(unit))


def _scaled(hypothesis: Hypothesis, value: float) -> float:
    """The inverse of `shown`; a ratio of zero, which has been rounded, becomes a very small one."""
    return math.log1p(max(value, 1e-15 - 1)) if hypothesis["estimand"] == RATIO else float(value)


def shown(hypothesis: Hypothesis, value: float) -> float:
    """A value on the estimand's scale as readers see it: of a ratio exp(d) - 1, capped to fit a float."""
    return math.expm1(min(value, 700.0)) if hypothesis["estimand"] == RATIO else value


def deciding(hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
    """The confirmatory ones, of which a combination stands for its parts."""
    items = [item for item in hypotheses if item["role"] == "confirmatory"]
    parts = {part for item in items if item["how"] for part in item[item["how"]]}
    return [item for item in items if item["id"] not in parts]
