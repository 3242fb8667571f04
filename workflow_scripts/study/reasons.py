"""One plain sentence per verdict. Every number in it is looked up, none is typed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from workflow_scripts.study.estimands import BOUND, LEVEL, LIMIT, RATIO, SUPERIORITY, estimate, zone
from workflow_scripts.study.rule import BETTER, FAILED, HELD, NEUTRAL, NOT_RUN, WORSE

_METRIC_NAMES = {
    "fid": "FID",
    "kid": "KID",
    "inception_score": "Inception Score",
    "hessian_trace": "Hessian trace",
    "hessian_top_eigenvalue": "Top Hessian eigenvalue",
}


def decided(hypothesis: Mapping[str, Any]) -> str:
    """Means of both arms, estimate, interval, and the branch of the rule that applied."""
    low, high = (value_text(hypothesis, end) for end in hypothesis["interval"])
    change, means = value_text(hypothesis, estimate(hypothesis)), ""
    if hypothesis["estimand"] != LEVEL:
        before, after = (number(_mean(hypothesis, side)) for side in ("comparator_value", "arm_value"))
        means = f"{before} → {after}: "
    return (
        f"{metric_name(hypothesis['metric_used']['metric'])} {means}{change} "
        f"({100 * hypothesis['confidence']:.4g} % interval {low} to {high}, {_seeds(hypothesis)}); "
        f"{_branch(hypothesis)}."
    )


def undecidable(hypothesis: Mapping[str, Any], unusable: Sequence[int]) -> str:
    """Why the rule does not apply: a value without a logarithm, or fewer than two seeds."""
    name, seeds = metric_name(hypothesis["metric_used"]["metric"]), _seeds(hypothesis)
    if unusable:
        return f"{name} is not positive for seed {_list(unusable)}, so no ratio can be formed ({seeds})."
    where = "" if hypothesis["estimand"] == LEVEL else " on both arms"
    return f"{name} was measured{where} for {seeds}; an interval needs at least 2."


def not_run(arms: Sequence[str], preset: str) -> str:
    return f"Preset {preset} does not run {_list(arms)}."


def kind_of_run(said: Mapping[str, Any]) -> str:
    """What settings or a verdict say that the run is: pilot, rehearsal, or "" for the preregistered one."""
    return "pilot" if said.get("pilot") else "rehearsal" if said["rehearsal"] else ""


def study_reason(confirmatory: Sequence[Mapping[str, Any]], preset: str, kind: str) -> str:
    """How the confirmatory hypotheses came out, and that a pilot or rehearsal settles nothing."""
    sentence = outcomes(confirmatory) or "No hypothesis is confirmatory"
    rehearsed = f"; a {kind} on preset {preset}, not the preregistered test" if kind else ""
    return f"{sentence}{rehearsed}."


def outcomes(hypotheses: Sequence[Mapping[str, Any]]) -> str:
    """`E2.H1 is better and E2.H2 held`."""
    verbs = {HELD: "held", FAILED: "failed", NOT_RUN: "is not run"}
    return _list(
        [f"{item['id']} {verbs.get(item['outcome'], 'is ' + item['outcome'])}" for item in hypotheses]
    )


def claim(hypothesis: Mapping[str, Any]) -> str:
    """What is claimed: `7 % lower`, `at most 0.02 lower`, `0.3 to 0.5`; a dash for a combination."""
    test = hypothesis["test"]
    if test is None:
        return "–"
    limit = hypothesis[LIMIT[test]]
    ends = (limit["low"], limit["high"]) if test == BOUND else (limit,)
    texts = [f"{100 * end:g} %" if hypothesis["estimand"] == RATIO else f"{end:g}" for end in ends]
    size = " to ".join(texts).replace("-", "−")
    rises = (hypothesis["direction"] == "higher") == (test == SUPERIORITY)
    words = {BOUND: size, SUPERIORITY: f"{size} {'higher' if rises else 'lower'}"}
    return words.get(test, f"at most {words[SUPERIORITY]}")


def value_text(hypothesis: Mapping[str, Any], value: float | None) -> str:
    """An estimate or an end of its interval: a signed percentage or number, or a level's number."""
    if value is None:
        return "–"
    if hypothesis["estimand"] == RATIO:
        return percent(value)
    return f"{'+' if value >= 0 and hypothesis['estimand'] != LEVEL else ''}{number(value)}"


def metric_name(metric: str) -> str:
    """The metric as people read it; a distance other than FID and KID carries its extractor's name."""
    kind = {"fd": "FD", "rot": "FD", "kd": "KD"}.get(metric.split("_")[0])
    return _METRIC_NAMES.get(metric, f"{kind} ({metric})" if kind else metric.replace("_", " "))


def percent(relative: float) -> str:
    """A signed relative change such as `−12.3 %`."""
    value = 100 * relative
    text = f"{abs(value):.1f}" if abs(value) < 1000 else f"{abs(value):.3g}"
    return f"{'−' if value < 0 else '+'}{text} %"


def number(value: float) -> str:
    """A value to three significant digits, such as `12.0`, `−3.10e-06` or `0`."""
    if value <= 0:
        return f"−{number(-value)}" if value else "0"
    if not 1e-3 <= value < 1e5:
        return f"{value:.2e}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def _branch(hypothesis: Mapping[str, Any]) -> str:
    outcome, fell = hypothesis["outcome"], estimate(hypothesis) < 0
    if hypothesis["test"] != SUPERIORITY:
        places = {HELD: "the whole interval lies within", FAILED: "the whole interval lies beyond"}
        place = places.get(outcome, "the interval reaches across an end of")
        return f"{place} the {LIMIT[hypothesis['test']]} ({claim(hypothesis)})"
    lower, higher = (value_text(hypothesis, end) for end in zone(hypothesis))
    size = f"at least {(lower if fell else higher)[1:]} {'lower' if fell else 'higher'}"
    if outcome in (BETTER, WORSE):
        return f"{size} and the interval excludes zero change"
    if outcome == NEUTRAL:
        return f"the whole interval lies between {lower} and {higher}"
    low, high = hypothesis["interval"]
    if low > 0 or high < 0:
        return f"the interval excludes zero change, but the estimate is not {size}"
    return f"the interval includes zero change and reaches beyond {lower} or {higher}"


def _mean(hypothesis: Mapping[str, Any], side: str) -> float:
    mean = statistics.geometric_mean if hypothesis["estimand"] == RATIO else statistics.fmean
    return mean(seed[side] for seed in hypothesis["seeds"])


def _seeds(hypothesis: Mapping[str, Any]) -> str:
    paired, missing = len(hypothesis["seeds"]), hypothesis["missing_seeds"]
    if not missing:
        return f"{paired} seed{'s' if paired != 1 else ''}"
    diverged = [
        f"{run['arm']} seed {run['seed']} {divergence(run['step'])}" for run in hypothesis["diverged"]
    ]
    why = f": {_list(diverged)}" if diverged else ""
    return f"{paired} of {paired + len(missing)} seeds, missing {_list(missing)}{why}"


def divergence(step: int) -> str:
    """`diverged at step 1,200`, or what step 0 means."""
    return f"diverged at step {step:,}" if step else "could not begin, because its shared network diverged"


def _list(items: Sequence[Any]) -> str:
    words = [str(item) for item in items]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
