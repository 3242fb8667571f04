"""Sentences about outcomes and gaps; they claim no more than the rule's outcome and the interval allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import (
    OUTCOME_WORDS,
    arms_text,
    counted,
    estimate_text,
    interval_text,
    join_words,
    sampler_label,
    seeds_words,
)
from workflow_scripts.report.sourced_numbers import source_numbers, sourced
from workflow_scripts.report.tables import arm_names, markdown
from workflow_scripts.study.estimands import BOUND, SUPERIORITY, Hypothesis, deciding, estimate, zone
from workflow_scripts.study.measures import can_be_probed
from workflow_scripts.study.reasons import divergence, kind_of_run, metric_name, value_text
from workflow_scripts.study.results import DIVERGED

if TYPE_CHECKING:
    import pandas as pd

# How many results the one-sentence answer spells out; the table lists all.
MAX_NAMED = 3
# The share of the baselines' mean recall below which images are flagged as collapsed.
COLLAPSED_BELOW = 0.5
METRIC_WORDS = {
    "hessian_trace": "the curvature of the training loss (Hessian trace)",
    "hessian_top_eigenvalue": "the sharpest curvature of the training loss (top Hessian eigenvalue)",
    "precision": "the share of generated images that look real (precision)",
    "recall": "the share of real images that the generated ones cover (recall)",
    "inception_score": "how sharp and varied an image classifier finds the images (Inception Score)",
}
STUDY_WORDS = {
    "better": "At least one preregistered comparison came out better and none worse.",
    "worse": "At least one preregistered comparison came out worse and none better.",
    "neutral": "Every preregistered comparison came out neutral, without a relevant difference. Differences "
    "smaller than the thresholds may exist; they were not the question.",
    "held": "No preregistered claim is open: every margin, bound and combination held.",
    "failed": "At least one preregistered margin, bound or combination failed, and nothing came out better.",
    "inconclusive": "The rule reaches no overall decision: for the study as a whole, neither a relevant "
    "change nor its absence has been shown.",
    "opposite": "Preregistered comparisons point in opposite directions, so the rule gives the study no "
    "overall direction.",
}


def answer(report: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    """The study's outcome in one sentence for a non-specialist; its numbers are marked with their origin."""
    outcome = verdict["outcome"]
    confirmatory = deciding(verdict["hypotheses"])
    ran = [item for item in confirmatory if item["outcome"] != "not_run"]
    kind = kind_of_run(verdict)
    lead = outcome.capitalize() + (f", in this {kind}" if kind else "")
    if outcome == "inconclusive":
        if not ran:
            return f"{lead}: this preset runs none of the preregistered comparisons."
        seeds = source_numbers(seeds_words(report), "setting/seeds")
        estimates = _some_of(ran, [_estimate(report, item) for item in ran])
        return (
            f"{lead}: the measurements of {seeds} do not settle the preregistered question "
            f"({_tally(confirmatory)}). Estimates: {estimates}."
        )
    named = [item for item in ran if item["outcome"] == outcome]
    if outcome == "neutral":
        sizes = {
            " to ".join(value_text(item, end) for end in zone(item)): item["threshold"] for item in named
        }
        ranges = join_words(sorted(sizes, key=sizes.__getitem__))
        return source_numbers(
            f"{lead}: in {counted(len(named), 'preregistered comparison')} the "
            f"{'intervals lie' if len(named) > 1 else 'interval lies'} within the changes that were fixed in "
            f"advance as too small to count ({ranges}).",
            _deciders(named),
        )
    others = [item for item in confirmatory if item["outcome"] != outcome]
    also = f"; the other preregistered results: {_tally(others)}" if others else ""
    return f"{lead}: {_some_of(named, [_effect(report, item) for item in named])}{also}."


def _some_of(items: Sequence[Hypothesis], texts: Sequence[str]) -> str:
    """The first texts, and how many more there are."""
    rest = items[MAX_NAMED:]
    more = [source_numbers(f"and {len(rest)} more in the table", _deciders(rest))] if rest else []
    return "; ".join([*texts[:MAX_NAMED], *more])


def _deciders(items: Iterable[Hypothesis]) -> str:
    """The origin of a number that the verdict on some hypotheses contains."""
    return "hypothesis/" + " ".join(item["id"] for item in items)


def _effect(report: Mapping[str, Any], item: Hypothesis) -> str:
    if item["test"] != SUPERIORITY:
        return _told(report, item)
    names, metric = arm_names(report), item["metric_used"]["metric"]
    measured = METRIC_WORDS.get(
        metric, f"the distance between generated and real images ({metric_name(metric)})"
    )
    change = f"{estimate_text(item)[1:]} {'lower' if estimate(item) < 0 else 'higher'}"
    return source_numbers(
        f"with “{names[item['arm']]}”, {measured} came out {change} "
        f"than with “{names[item['comparator']]}” ({_interval(item)})",
        _deciders([item]),
    )


def _told(report: Mapping[str, Any], item: Hypothesis) -> str:
    """The reason for a margin's, bound's or combination's outcome, with the arms."""
    names = arm_names(report)
    arms = arms_text(item, lambda arm: f"“{names.get(arm, markdown(arm))}”")
    return source_numbers(f"{arms}: {markdown(item['reason'].removesuffix('.'))}", _deciders([item]))


def _estimate(report: Mapping[str, Any], item: Hypothesis) -> str:
    """An estimate without a claim: `FID +6.9 % (95 % interval −33.3 % to +71.1 %)`."""
    if item["how"]:
        return _told(report, item)
    metric = metric_name(item["metric_used"]["metric"])
    if item["interval"] is None:
        return f"none for {metric}"
    return source_numbers(f"{metric} {estimate_text(item)} ({_interval(item)})", _deciders([item]))


def _interval(item: Hypothesis) -> str:
    return f"{100 * item['confidence']:.4g} % interval {interval_text(item)}"


def _tally(items: Sequence[Hypothesis]) -> str:
    counts = Counter(item["outcome"] for item in items)
    words = [f"{counts[key]} {words}" for key, words in OUTCOME_WORDS.items() if counts[key]]
    return source_numbers(join_words(words), _deciders(items))


def study_paragraph(report: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    """What the study's outcome means and how far it reaches; its numbers are marked with their origin."""
    outcomes = {item["outcome"] for item in deciding(verdict["hypotheses"])}
    opposite = "better" in outcomes and outcomes & {"worse", "failed"}
    text = STUDY_WORDS["opposite" if opposite else verdict["outcome"]]
    steps = sourced(f"{report['final_step']:,}", "setting/training.num_steps")
    return (
        f"{text} The statement holds for {markdown(report['dataset_title'])}, {steps} training steps and the "
        "samplers listed here; nothing beyond that was measured."
    )


def hypothesis_paragraph(
    report: Mapping[str, Any], item: Hypothesis, power: Mapping[str, Any] | None = None
) -> str:
    """One hypothesis' outcome, reason and what stays open; its numbers are marked with the hypothesis."""
    head = f"**{markdown(item['id'])}** ({item['role']}): {OUTCOME_WORDS[item['outcome']]}. "
    settled = _settled_by(item, power) if item["outcome"] == "inconclusive" else ""
    return source_numbers(head, _deciders([item])) + f"{_told(report, item)}.{_left_open(item)}{settled}"


def _settled_by(item: Hypothesis, power: Mapping[str, Any] | None) -> str:
    """How many seeds would settle an inconclusive hypothesis, if its spread is known."""
    entry = next((one for one in (power or {}).get("hypotheses", ()) if one["id"] == item["id"]), None)
    if entry is None or entry["spread"] is None:
        return ""
    seeds = entry["settled_by"]
    many = f"More than {power['max_seeds']}" if seeds is None else f"With this spread, {seeds}"
    text = f" {many} seeds would settle it, with a chance of at least {100 * power['target']:g} %"
    truths = "nothing differs or the change is twice the limit"
    if item["test"] == BOUND:
        truths = "the value lies in the middle of the bound or half its width beyond an end"
    enough = seeds is not None and seeds <= entry["num_seeds"]
    near = " So many were run: the value seems to lie near a limit, where it takes more." if enough else ""
    return source_numbers(text, "power") + f" whether {truths}.{near}"


def _left_open(item: Hypothesis) -> str:
    """What the interval of a superiority test shows beside its outcome, and what it does not."""
    if item["test"] != SUPERIORITY or item["interval"] is None:
        return ""
    (low, high), (lower, upper) = item["interval"], zone(item)
    has_zero = low <= 0 <= high
    if item["outcome"] == "neutral":
        small = " The interval excludes zero: there is a difference, but the rule counts it as too small."
        return " Larger changes are excluded; smaller ones are not." + ("" if has_zero else small)
    if item["outcome"] == "inconclusive":
        return " Neither zero change nor a relevant one can be excluded." if has_zero else ""
    if high <= lower or upper <= low:
        return " Every value inside the interval exceeds the threshold."
    return (
        " The interval also contains changes smaller than the threshold, so it is not shown that the true "
        "change reaches it."
    )


def gaps(context: ReportContext) -> list[str]:
    """Planned results that are missing, one sentence (Markdown) per gap, the largest first."""
    arms, seeds = context.arms, {arm: context.seeds(arm) for arm in context.arms}
    measured = {(row["arm"], row["seed"]) for row in context.results}
    lacking = {arm: [seed for seed in seeds[arm] if (arm, seed) not in measured] for arm in arms}
    absent = [arm for arm in arms if lacking[arm] == seeds[arm]]
    if absent == arms:
        return ["There are no results at all."]
    diverged = {
        (row["arm"], row["seed"]): row["value"] for row in context.results if row["metric"] == DIVERGED
    }
    sentences = [
        f"{_names(context, [arm])}, seed {seed}, {divergence(step)}"
        + ("; it was measured up to there." if step else ".")
        for (arm, seed), step in diverged.items()
    ]
    sentences += [
        f"The images of {_names(context, [arm])}, seed {seed}, may have collapsed: their recall is "
        f"{recall:.2f}, less than half of the baselines' mean, {usual:.2f}."
        for arm, seed, recall, usual in collapsed(context)
    ]
    sentences += [
        f"The images of {_names(context, [row.arm])}, seed {row.seed}, may have collapsed: of "
        f"{row.value:.0f} classes they show less than a tenth of what the real images do."
        for row in context.main_rows("lost_classes").itertuples()
        if row.value > 0
    ]
    if absent:
        has, them = ("has", "it") if len(absent) == 1 else ("have", "them")
        sentences.append(f"{_names(context, absent)} {has} no results, so nothing is said about {them}.")
    for arm in arms:
        if lacking[arm] and arm not in absent:
            present = f"{len(seeds[arm]) - len(lacking[arm])} of {len(seeds[arm])} seeds have results"
            sentences.append(f"{_names(context, [arm])} lacks {_seeds(lacking[arm])} ({present}).")
    for what, planned, frame, num_seeds in _planned(context):
        missing = measured - set(zip(frame["arm"], frame["seed"])) - diverged.keys()
        without = {arm: [s for s in seeds[arm][:num_seeds] if (arm, s) in missing] for arm in planned}
        listed = [f"{_names(context, [arm])} ({_seeds(own)})" for arm, own in without.items() if own]
        if frame.empty:
            sentences.append(f"{what} was not measured.")
        elif listed:
            sentences.append(f"{what} is missing for {join_words(listed)}.")
    if all(len(own) == 1 for own in seeds.values()):
        sentences.append("Only one seed was planned, so there is no interval and nothing can be decided.")
    return sentences


def collapsed(context: ReportContext) -> list[tuple[str, int, float, float]]:
    """Runs whose images cover few of the real ones: (arm, seed, recall, mean recall of the baselines).

    A run is listed when its recall at the main point is below half of the baselines' mean.
    """
    rows = context.main_rows("recall")
    baselines = [arm["name"] for arm in context.report["arms"] if arm["baseline"]]
    usual = rows[rows["arm"].isin(baselines)]["value"].mean()
    trained = [arm["name"] for arm in context.report["arms"] if arm["trained"]]
    low = rows[(rows["value"] < COLLAPSED_BELOW * usual) & rows["arm"].isin(trained)]
    return [(row.arm, row.seed, row.value, usual) for row in low.itertuples()]


def _planned(context: ReportContext) -> Iterable[tuple[str, list[str], pd.DataFrame, int | None]]:
    """Name, arms and rows of each planned measurement, and of how many seeds it is (None: all)."""
    metric, metrics, arms = context.report["metric"], context.report["metrics"], context.report["arms"]
    for name, point in context.points.items() if "frechet_distance" in metrics else ():
        where = f"{sampler_label(point)} at NFE {point['nfe']}"
        able = [arm["name"] for arm in arms if name in arm["points"]]
        rows = context.final_rows(metric, point=name)
        yield f"{metric_name(metric)} with {where}", able, rows, point.get("num_seeds")
    curvatures = (("hessian_trace", "common"), ("hessian_trace", "own"), ("hessian_top_eigenvalue", "common"))
    for name, objective in curvatures if "curvature" in metrics else ():
        rows = context.final_rows(name, objective=objective)
        able = [arm["name"] for arm in arms if can_be_probed(arm["method"])]
        yield f"{metric_name(name)} ({objective} objective)", able, rows, None


def _names(context: ReportContext, arms: Sequence[str]) -> str:
    return join_words([f"“{markdown(context.label(arm))}”" for arm in arms])


def _seeds(seeds: Sequence[int]) -> str:
    listed = join_words([str(seed) for seed in seeds])
    return f"seed {listed}" if len(seeds) == 1 else f"{len(seeds)} seeds ({listed})"
