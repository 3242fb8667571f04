"""Sentences about outcomes. They follow from the rule's outcome and the interval, and never say more than these allow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from workflow_scripts.report.labels import (
    OUTCOME_WORDS,
    change_words,
    counted,
    interval_text,
    join_words,
    threshold_text,
)
from workflow_scripts.report.sourced_numbers import source_numbers, sourced
from workflow_scripts.report.tables import arm_names, markdown
from workflow_scripts.study.reasons import metric_name, percent

# How many results the one-sentence answer spells out; the table holds all.
MAX_NAMED = 3
LEADS = {"better": "Better", "worse": "Worse", "neutral": "Neutral", "inconclusive": "Inconclusive"}


def metric_in_words(metric: str) -> str:
    """What a metric measures, for a reader who does not know its name."""
    if metric == "hessian_trace":
        return "the curvature of the training loss (Hessian trace)"
    words = {
        "hessian_top_eigenvalue": "the sharpest curvature of the training loss (top Hessian eigenvalue)",
        "precision": "the share of generated images that look real (precision)",
        "recall": "the share of real images that the generated ones cover (recall)",
        "inception_score": "how sharp and varied an image classifier finds the images (Inception Score)",
    }
    if metric in words:
        return words[metric]
    return f"the distance between generated and real images ({metric_name(metric)})"


def margins(hypothesis: Mapping[str, Any]) -> tuple[float, float]:
    """Relative changes between which a difference does not count: one threshold down, and its mirror in the logarithm."""
    margin = -math.log(1.0 - hypothesis["threshold"])
    return math.expm1(-margin), math.expm1(margin)


def answer(report: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    """One sentence that states the study's outcome to a non-specialist; its numbers are marked with their origin."""
    outcome = verdict["outcome"]
    confirmatory = [item for item in verdict["hypotheses"] if item["role"] == "confirmatory"]
    ran = [item for item in confirmatory if item["outcome"] != "not_run"]
    named = [item for item in ran if item["outcome"] == outcome]
    lead = f"{LEADS[outcome]}, in this rehearsal" if verdict["rehearsal"] else LEADS[outcome]
    if outcome in ("better", "worse"):
        shown = [_effect(report, item) for item in named[:MAX_NAMED]]
        rest_of_named = f"and {len(named) - MAX_NAMED} more that the table lists"
        shown += (
            [source_numbers(rest_of_named, _deciders(named[MAX_NAMED:]))] if len(named) > MAX_NAMED else []
        )
        body = "; ".join(shown)
        rest = [item for item in confirmatory if item["outcome"] != outcome]
        also = f"; the other preregistered results: {_tally(rest)}" if rest else ""
        return f"{lead}: {body}{also}."
    if outcome == "neutral":
        bounds = {item["threshold"]: " to ".join(map(percent, margins(item))) for item in named}
        ranges = join_words([bounds[size] for size in sorted(bounds)])
        return source_numbers(
            f"{lead}: in {counted(len(named), 'preregistered comparison')} the {'intervals lie' if len(named) > 1 else 'interval lies'} "
            f"within the changes that were fixed in advance as too small to count ({ranges}).",
            _deciders(named),
        )
    if not ran:
        return f"{lead}: this preset runs none of the preregistered comparisons."
    seeds = source_numbers(counted(len(report["seeds"]), "seed"), "setting/seeds")
    estimates = "; ".join(_estimate(item) for item in ran[:MAX_NAMED])
    more = f"; the table lists {len(ran) - MAX_NAMED} more" if len(ran) > MAX_NAMED else ""
    more = source_numbers(more, _deciders(ran[MAX_NAMED:]))
    return (
        f"{lead}: the measurements of {seeds} do not settle the preregistered question ({_tally(confirmatory)}). "
        f"{estimates[0].upper()}{estimates[1:]}{more}."
    )


def _effect(report: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    names = arm_names(report)
    return source_numbers(
        f"with “{names[item['arm']]}”, {metric_in_words(item['metric_used']['metric'])} came out "
        f"{change_words(item['relative_change'])} than with “{names[item['comparator']]}” ({_level_and_interval(item)})",
        _deciders([item]),
    )


def _deciders(items: list[Mapping[str, Any]]) -> str:
    """The origin of a number that the verdict on some hypotheses holds."""
    return "hypothesis/" + " ".join(item["id"] for item in items)


def _level_and_interval(item: Mapping[str, Any]) -> str:
    return f"{100 * item['confidence']:.4g} % interval {interval_text(item['interval'])}"


def _estimate(item: Mapping[str, Any]) -> str:
    """An estimate without a claim, such as `the estimate for FID is +6.9 % (95 % interval −33.3 % to +71.1 %)`."""
    metric = metric_name(item["metric_used"]["metric"])
    if item["interval"] is None:
        return f"there is no estimate for {metric}"
    text = f"the estimate for {metric} is {percent(item['relative_change'])} ({_level_and_interval(item)})"
    return source_numbers(text, _deciders([item]))


def _tally(items: list[Mapping[str, Any]]) -> str:
    counts = Counter(item["outcome"] for item in items)
    return source_numbers(
        join_words([f"{counts[key]} {words}" for key, words in OUTCOME_WORDS.items() if counts[key]]),
        _deciders(items),
    )


def study_paragraph(report: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    """What the study's outcome means, and how far it reaches; its numbers are marked with their origin."""
    outcomes = {item["outcome"] for item in verdict["hypotheses"] if item["role"] == "confirmatory"}
    text = {
        "better": "At least one preregistered comparison came out better and none worse.",
        "worse": "At least one preregistered comparison came out worse and none better.",
        "neutral": "Every preregistered comparison came out neutral, without a relevant difference. The thresholds bound the change; "
        "differences smaller than that may exist and were not the question.",
        "inconclusive": "The rule reaches no overall decision: for the study as a whole neither a relevant change nor its "
        "absence has been shown.",
    }[verdict["outcome"]]
    if {"better", "worse"} <= outcomes:
        text = "Preregistered comparisons point in opposite directions, so the rule gives the study no overall direction."
    steps = sourced(f"{report['final_step']:,}", "setting/training.num_steps")
    reach = (
        f" The statement holds for {markdown(report['dataset_title'])}, {steps} training steps and the "
        "samplers listed here; nothing was measured beyond that."
    )
    return text + reach


def hypothesis_paragraph(report: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    """What one hypothesis' outcome means, given its interval; its numbers are marked with the hypothesis."""
    return source_numbers(_about_hypothesis(report, item), _deciders([item]))


def _about_hypothesis(report: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    head = f"**{markdown(item['id'])}** ({item['role']}): "
    if item["outcome"] == "not_run" or item["interval"] is None:
        return head + f"{OUTCOME_WORDS[item['outcome']]}. {markdown(item['reason'])}"
    names = arm_names(report)
    arm, comparator = names[item["arm"]], names[item["comparator"]]
    metric = metric_name(item["metric_used"]["metric"])
    low, high = item["interval"]
    threshold = threshold_text(item["threshold"])
    estimate = f"the estimate of {metric} for “{arm}” is {change_words(item['relative_change'])} than for “{comparator}”"
    interval = _level_and_interval(item)
    if item["outcome"] == "neutral":
        lower, upper = margins(item)
        zero = (
            ""
            if low <= 0 <= high
            else " The interval excludes zero: a difference shows, too small to count by the rule."
        )
        return head + (
            f"neutral: {estimate}, and the whole interval ({interval}) lies between {percent(lower)} and "
            f"{percent(upper)}, the changes too small to count by the threshold of {threshold}. Larger ones are excluded; "
            f"smaller ones are not.{zero}"
        )
    if item["outcome"] == "inconclusive":
        return head + f"inconclusive: {estimate} ({interval}). {_why_open(item)}"
    return head + (
        f"{item['outcome']}: {estimate}, which reaches the threshold of {threshold}, and the interval excludes zero change "
        f"({interval}). {_how_large(item)}"
    )


def _how_large(item: Mapping[str, Any]) -> str:
    low, high = item["interval"]
    lower, upper = margins(item)
    if high <= lower or low >= upper:
        return "Every value inside the interval exceeds the threshold."
    return "The interval also holds changes smaller than the threshold, so that the true change reaches it is not shown."


def _why_open(item: Mapping[str, Any]) -> str:
    low, high = item["interval"]
    lower, upper = margins(item)
    if low > 0 or high < 0:
        kind = "increases" if low > 0 else "decreases"
        bound = percent(upper if low > 0 else lower)
        return f"The interval holds {kind} only, but the estimate does not reach {bound}, from where on a change counts."
    holds = ["zero change"]
    holds += [f"a decrease beyond {percent(lower)}"] if low <= lower else []
    holds += [f"an increase beyond {percent(upper)}"] if high >= upper else []
    return f"The interval holds {join_words(holds)}: none of these can be excluded."
