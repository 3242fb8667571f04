"""One plain sentence per verdict. Every number in it is looked up, none is typed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from workflow_scripts.study.rule import BETTER, NEUTRAL, WORSE

_METRIC_NAMES = {
    "fid": "FID",
    "kid": "KID",
    "inception_score": "Inception Score",
    "hessian_trace": "Hessian trace",
    "hessian_top_eigenvalue": "Top Hessian eigenvalue",
}


def decided(hypothesis: Mapping[str, Any], margin: float) -> str:
    """Geometric means of both arms, relative change, interval, and the branch of the rule that applied."""
    before, after = (number(_geometric_mean(hypothesis, side)) for side in ("comparator_value", "arm_value"))
    low, high = (percent(end) for end in hypothesis["interval"])
    return (
        f"{metric_name(hypothesis['metric_used']['metric'])} {before} → {after}: "
        f"{percent(hypothesis['relative_change'])} ({100 * hypothesis['confidence']:.4g} % interval {low} to "
        f"{high}, {_seeds(hypothesis)}); {_branch(hypothesis, margin)}."
    )


def undecidable(hypothesis: Mapping[str, Any], unusable: Sequence[int]) -> str:
    """Why the rule does not apply: a value without a logarithm, or fewer than two paired seeds."""
    name, seeds = metric_name(hypothesis["metric_used"]["metric"]), _seeds(hypothesis)
    if unusable:
        return f"{name} is not positive for seed {_list(unusable)}, so no ratio can be formed ({seeds})."
    return f"{name} was measured on both arms for {seeds}; an interval needs at least 2."


def not_run(arms: Sequence[str], preset: str) -> str:
    return f"Preset {preset} does not run {_list(arms)}."


def study_reason(confirmatory: Sequence[Mapping[str, Any]], preset: str, rehearsal: bool) -> str:
    """How the confirmatory hypotheses came out, and that a rehearsal settles nothing."""
    results = [f"{item['id']} is {item['outcome'].replace('_', ' ')}" for item in confirmatory]
    sentence = _list(results) or "No hypothesis is confirmatory"
    rehearsed = f"; a rehearsal on preset {preset}, not the preregistered test" if rehearsal else ""
    return f"{sentence}{rehearsed}."


def metric_name(metric: str) -> str:
    """The metric as people read it; a distance other than FID and KID carries its extractor's name."""
    kind = {"fd": "FD", "rot": "FD", "kd": "KD"}.get(metric.split("_")[0])
    return _METRIC_NAMES.get(metric, f"{kind} ({metric})" if kind else metric)


def percent(relative: float) -> str:
    """A signed relative change such as `−12.3 %`."""
    value = 100 * relative
    text = f"{abs(value):.1f}" if abs(value) < 1000 else f"{abs(value):.3g}"
    return f"{'−' if value < 0 else '+'}{text} %"


def number(value: float) -> str:
    """A positive value to three significant digits, such as `12.0` or `3.10e-06`."""
    if not 1e-3 <= value < 1e5:
        return f"{value:.2e}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def _branch(hypothesis: Mapping[str, Any], margin: float) -> str:
    outcome, fell = hypothesis["outcome"], hypothesis["relative_change"] < 0
    lower, higher = percent(math.expm1(-margin)), percent(math.expm1(margin))
    size = f"at least {(lower if fell else higher)[1:]} {'lower' if fell else 'higher'}"
    if outcome in (BETTER, WORSE):
        return f"{size} and the interval excludes zero change"
    if outcome == NEUTRAL:
        return f"the whole interval lies between {lower} and {higher}"
    low, high = hypothesis["interval"]
    if low > 0 or high < 0:
        return f"the interval excludes zero change, but the estimate is not {size}"
    return f"the interval includes zero change and reaches beyond {lower} or {higher}"


def _geometric_mean(hypothesis: Mapping[str, Any], side: str) -> float:
    seeds = hypothesis["seeds"]
    return math.exp(math.fsum(math.log(seed[side]) for seed in seeds) / len(seeds))


def _seeds(hypothesis: Mapping[str, Any]) -> str:
    paired, missing = len(hypothesis["seeds"]), hypothesis["missing_seeds"]
    if not missing:
        return f"{paired} seed{'s' if paired != 1 else ''}"
    diverged = [
        f"{run['arm']} seed {run['seed']} diverged at step {run['step']}" for run in hypothesis["diverged"]
    ]
    why = f": {_list(diverged)}" if diverged else ""
    return f"{paired} of {paired + len(missing)} seeds, missing {_list(missing)}{why}"


def _list(items: Sequence[Any]) -> str:
    words = [str(item) for item in items]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
