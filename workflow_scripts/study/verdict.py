"""From metric rows to a verdict: every hypothesis by the locked rule, paired by seed, every seed reported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.study import reasons, rule
from workflow_scripts.study.error_rates import NUM_SEEDS, error_rates, family_false_verdicts
from workflow_scripts.study.results import Row, require_comparable

# Counts are named by the hypothesis and replaced in a rehearsal; a row with another count is refused, not skipped.
_COUNTS = ("num_samples", "num_probes")
_SELECTORS = ("sampler", "nfe", "objective", "ema")
# Orientation: after multiplying by it, negative is good.
_ORIENTATION = {"lower": 1.0, "higher": -1.0}


@dataclass(frozen=True)
class Context:
    """The preset the study ran at.

    `metric` is the preset's Fréchet distance (`fid` or `fd_…`), `arms` and `seeds` are those it runs, `final_step` is
    training.num_steps, `rehearsal` is true when `preset` is not the preregistered one.
    """

    study: str
    preset: str
    preregistered_preset: str
    rehearsal: bool
    final_step: int
    metric: str
    num_samples: int
    num_probes: int
    arms: tuple[str, ...]
    seeds: tuple[int, ...]


def decide(
    hypotheses: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
    analysis: Mapping[str, Any],
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of verdict.json but for `results_sha256`.

    Raises PipelineError when rows of another study or preset, of an arm or seed that this preset does not run, or of
    unlike identities would be compared.
    """
    setting = Context(**context)
    for name, known in (("aggregation", "geometric_mean_of_ratios"), ("interval", "paired_t")):
        if analysis[name] != known:
            raise PipelineError(
                f"analysis.{name} of the preregistration is {analysis[name]!r}; only {known} is known"
            )
    _check_rows(rows, setting)
    num_confirmatory = _num_confirmatory(hypotheses)
    decided = []
    for hypothesis in hypotheses:
        confidence = rule.confidence_for(
            hypothesis["role"],
            num_confirmatory.get(hypothesis["experiment"], 0),
            analysis["confidence"],
            analysis["multiplicity"],
        )
        decided.append(_decide_hypothesis(hypothesis, rows, confidence, setting))
    confirmatory = [hypothesis for hypothesis in decided if hypothesis["role"] == "confirmatory"]
    outcome = rule.study_outcome([hypothesis["outcome"] for hypothesis in confirmatory])
    return {
        "study": setting.study,
        "preset": setting.preset,
        "preregistered_preset": setting.preregistered_preset,
        "rehearsal": setting.rehearsal,
        "outcome": outcome,
        "reason": reasons.study_reason(confirmatory, setting.preset, setting.rehearsal),
        "analysis": dict(analysis),
        # One experiment's; with several, each hypothesis states its own and this is the strictest.
        "confidence_used": {
            "confirmatory": max((hypothesis["confidence"] for hypothesis in confirmatory), default=None),
            "exploratory": analysis["confidence"],
        },
        "hypotheses": decided,
        "families": [_family(experiment, confirmatory) for experiment in sorted(num_confirmatory)],
    }


def _check_rows(rows: Sequence[Row], context: Context) -> None:
    for row in rows:
        for name, valid in (
            ("study", (context.study,)),
            ("preset", (context.preset,)),
            ("arm", context.arms),
            ("seed", context.seeds),
        ):
            if row[name] not in valid:
                raise PipelineError(
                    f"the results hold a row with {name} {row[name]!r}, but study {context.study}, preset "
                    f"{context.preset} has {', '.join(map(str, valid))}; collect this study and preset only"
                )


def _num_confirmatory(hypotheses: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many confirmatory hypotheses each experiment preregistered; those not run in this preset count too."""
    experiments = [
        hypothesis["experiment"] for hypothesis in hypotheses if hypothesis["role"] == "confirmatory"
    ]
    return {experiment: experiments.count(experiment) for experiment in experiments}


def _decide_hypothesis(
    hypothesis: Mapping[str, Any], rows: Sequence[Row], confidence: float, context: Context
) -> dict[str, Any]:
    used, substitutions = _metric_used(hypothesis, context)
    margin = rule.log_margin(hypothesis["threshold"])
    decided = {
        **hypothesis,
        "metric_used": used,
        "substitutions": substitutions,
        "seeds": [],
        "missing_seeds": list(context.seeds),
        "relative_change": None,
        "interval": None,
        "confidence": confidence,
        "error_rates": None,
    }
    not_run = [arm for arm in (hypothesis["arm"], hypothesis["comparator"]) if arm not in context.arms]
    if not_run:
        return decided | {"outcome": rule.NOT_RUN, "reason": reasons.not_run(not_run, context.preset)}

    pairs = _paired_values(hypothesis, used, rows, context)
    seeds = [
        {
            "seed": seed,
            "arm_value": arm,
            "comparator_value": comparator,
            "relative_change": relative(_log_ratio(arm, comparator)) if min(arm, comparator) > 0 else None,
        }
        for seed, (arm, comparator) in pairs.items()
    ]
    decided |= {"seeds": seeds, "missing_seeds": [seed for seed in context.seeds if seed not in pairs]}
    unusable = [seed["seed"] for seed in seeds if seed["relative_change"] is None]
    if unusable or len(seeds) < 2:
        return decided | {"outcome": rule.INCONCLUSIVE, "reason": reasons.undecidable(decided, unusable)}

    differences = np.array([_log_ratio(arm, comparator) for arm, comparator in pairs.values()])
    orientation = _ORIENTATION[hypothesis["direction"]]
    mean, low, high = (float(value) for value in rule.t_interval(differences, confidence))
    decided |= {
        "outcome": str(rule.decide_outcomes(orientation * differences, confidence, margin)),
        "relative_change": relative(mean),
        "interval": [relative(low), relative(high)],
        "error_rates": error_rates(float(differences.std(ddof=1)), margin, confidence),
    }
    return decided | {"reason": reasons.decided(decided, margin)}


def _metric_used(
    hypothesis: Mapping[str, Any], context: Context
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The metric that is looked up, and what a rehearsal put in place of the preregistered one."""
    asked = hypothesis["metric"]
    offered = {"num_samples": context.num_samples, "num_probes": context.num_probes}
    if asked["name"] == "fid":
        offered["name"] = context.metric
    substitutions = [
        {"field": "metric" if name == "name" else name, "preregistered": asked[name], "used": offered[name]}
        for name in ("name", *_COUNTS)
        if name in offered and asked.get(name) is not None and asked[name] != offered[name]
    ]
    if substitutions and not context.rehearsal:
        first = substitutions[0]
        raise PipelineError(
            f"preset {context.preset} is the preregistered one but has {first['field']} {first['used']} where "
            f"hypothesis {hypothesis['id']} preregisters {first['preregistered']}; "
            "restore the preset or amend the preregistration"
        )
    merged = {**asked, **{name: offered[name] for name in asked if name in offered}}
    used = {name: merged.get(name) for name in (*_SELECTORS, *_COUNTS)}
    used |= {"metric": merged["name"], "step": context.final_step}
    used["extractor"] = merged["name"] if used["sampler"] is not None else None
    return used, substitutions


def _paired_values(
    hypothesis: Mapping[str, Any], used: Mapping[str, Any], rows: Sequence[Row], context: Context
) -> dict[int, tuple[float, float]]:
    """(arm value, comparator value) of every seed that has both; all rows taken must be comparable."""
    pairs: dict[int, tuple[float, float]] = {}
    first: Row | None = None
    for seed in context.seeds:
        found = [_find_row(rows, hypothesis[side], seed, used) for side in ("arm", "comparator")]
        for row in found:
            if row is not None:
                first = first or row
                require_comparable(first, row)
        if None not in found:
            pairs[seed] = (float(found[0]["value"]), float(found[1]["value"]))
    return pairs


def _find_row(rows: Sequence[Row], arm: str, seed: int, used: Mapping[str, Any]) -> Row | None:
    wanted = {"arm": arm, "seed": seed, **{name: used[name] for name in ("metric", "step", *_SELECTORS)}}
    candidates = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    matching = [row for row in candidates if all(row[name] == used[name] for name in _COUNTS)]
    if candidates and not matching:
        name = next(name for name in _COUNTS if candidates[0][name] != used[name])
        raise PipelineError(
            f"{used['metric']} of {arm} seed {seed} has {name} {candidates[0][name]} where {used[name]} is needed; "
            "delete that file and run again"
        )
    if len(matching) > 1:
        require_comparable(matching[0], matching[1])
        raise PipelineError(f"{used['metric']} of {arm} seed {seed} is given twice; collect each file once")
    return matching[0] if matching else None


def _family(experiment: str, confirmatory: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How often an experiment's confirmatory hypotheses together give any false verdict."""
    own = [hypothesis for hypothesis in confirmatory if hypothesis["experiment"] == experiment]
    members = [
        (hypothesis["error_rates"]["log_sd_of_paired_difference"], rule.log_margin(hypothesis["threshold"]))
        for hypothesis in own
        if hypothesis["error_rates"]
        is not None  # without a decision there is no recorded spread to simulate with
    ]
    confidence = own[0]["confidence"]
    return {
        "experiment": experiment,
        "hypotheses": [hypothesis["id"] for hypothesis in own],
        "confidence": confidence,
        "num_simulated": len(members),
        "by_num_seeds": [
            {"num_seeds": num_seeds, "false_verdicts": family_false_verdicts(members, confidence, num_seeds)}
            for num_seeds in NUM_SEEDS
        ]
        if members
        else [],
    }


def _log_ratio(arm: float, comparator: float) -> float:
    return math.log(arm) - math.log(comparator)


def relative(difference: float) -> float:
    """exp(d) - 1 of a log difference; capped where a float would overflow, so that JSON can hold it."""
    return math.expm1(min(difference, 700.0))
