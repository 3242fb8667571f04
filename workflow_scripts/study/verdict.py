"""From metric rows to a verdict: every hypothesis by the locked rule, paired by seed, every seed reported."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.study import estimands, reasons, rule
from workflow_scripts.study.estimands import ESTIMATE, LEVEL, RATIO, SD, scale_of, shown
from workflow_scripts.study.points import point_named_by
from workflow_scripts.study.results import DIVERGED, PILOT, Row, flat, require_comparable

# A hypothesis names counts, which a rehearsal replaces; a row with another count is refused, not skipped.
_COUNTS = ("num_samples", "num_probes")


def decide(
    hypotheses: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
    analysis: Mapping[str, Any],
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of verdict.json without the hashes.

    `rows` come from `merge_rows`, `context` from `description.verdict_settings`. PipelineError for rows of
    another study or preset, of an arm or seed that this preset does not run, and where rows of unlike
    identities would be compared.
    """
    _check_rows(rows, context)
    decided: dict[str, dict[str, Any]] = {}
    for hypothesis in with_confidence(hypotheses, analysis):
        parts = [decided[part] for part in hypothesis.get(hypothesis["how"], ())]
        decided[hypothesis["id"]] = _decide_hypothesis(hypothesis, parts, rows, context)
    confirmatory = [item for item in decided.values() if item["role"] == "confirmatory" and not item["how"]]
    heads = estimands.deciding(decided.values())
    return {
        **{name: context[name] for name in ("study", "preset", "preregistered_preset", "rehearsal")},
        "pilot": context.get("pilot", False),
        "outcome": rule.study_outcome([hypothesis["outcome"] for hypothesis in heads]),
        "reason": reasons.study_reason(heads, context["preset"], reasons.kind_of_run(context)),
        "analysis": dict(analysis),
        # Each hypothesis states its own; with several experiments this is the strictest.
        "confidence_used": {
            "confirmatory": max((hypothesis["confidence"] for hypothesis in confirmatory), default=None),
            "exploratory": analysis["confidence"],
        },
        "hypotheses": list(decided.values()),
        "families": [
            _family(experiment, confirmatory)
            for experiment in sorted({item["experiment"] for item in confirmatory})
        ],
    }


def with_confidence(
    hypotheses: Iterable[Mapping[str, Any]], analysis: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Complete hypotheses, each with the confidence of its interval, whether the preset runs all or not."""
    found = [estimands.complete(hypothesis) for hypothesis in hypotheses]
    # A combination errs only where one of its parts does.
    counted = [item["experiment"] for item in found if item["role"] == "confirmatory" and not item["how"]]
    rules = analysis["confidence"], analysis["multiplicity"]
    for item in found:
        item["confidence"] = rule.confidence_for(item["role"], counted.count(item["experiment"]), *rules)
    return found


def _check_rows(rows: Sequence[Row], context: Mapping[str, Any]) -> None:
    known = {name: [context[name]] for name in ("study", "preset")}
    known |= {"arm": list(context["arms"])}
    for row in rows:
        for name, valid in (known | {"seed": context["arms"].get(row["arm"], ())}).items():
            if row[name] not in valid:
                raise PipelineError(
                    f"the results hold a row with {name} {row[name]!r}, but study {context['study']}, "
                    f"preset {context['preset']} has {', '.join(map(str, valid))}; "
                    "collect this study and preset only"
                )


def _decide_hypothesis(
    hypothesis: Mapping[str, Any],
    parts: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
    context: Mapping[str, Any],
) -> dict[str, Any]:
    decided = dict(hypothesis) | dict.fromkeys(("metric_used", "interval", "error_rates"))
    decided |= {"substitutions": [], "seeds": [], "missing_seeds": [], "diverged": []}
    if hypothesis["how"]:
        outcome = rule.combined_outcome(hypothesis["how"], [part["outcome"] for part in parts])
        return decided | {"outcome": outcome, "reason": f"{reasons.outcomes(parts)}."}
    used, substitutions = metric_used(hypothesis, context)
    decided |= {"metric_used": used, "substitutions": substitutions, ESTIMATE[hypothesis["estimand"]]: None}
    arms = [hypothesis["arm"], hypothesis["comparator"]][: 1 if hypothesis["estimand"] == LEVEL else 2]
    not_run = [arm for arm in arms if arm not in context["arms"]]
    # those that all its arms have, but for arms without training, which have none
    untrained = context.get("untrained", ())
    seeded = {arm for arm in arms if arm not in untrained} or set(arms)
    planned = [seed for arm in sorted(seeded) for seed in context["arms"].get(arm, ())]
    planned = [seed for seed, times in Counter(planned).items() if times == len(seeded)]
    decided["missing_seeds"] = planned
    if not_run:
        return decided | {"outcome": rule.NOT_RUN, "reason": reasons.not_run(not_run, context["preset"])}
    if (preset := hypothesis.get("preset")) not in (None, context["preset"].removesuffix(PILOT)):
        return decided | {"outcome": rule.NOT_RUN, "reason": f"It is judged at preset {preset}."}
    # the rows of a level are looked up as if it were compared with itself
    final_steps = context.get("final_steps", {})
    pairs = _paired_values(
        {**hypothesis, "comparator": arms[-1]}, used, rows, planned, untrained, final_steps
    )
    decided["missing_seeds"] = [seed for seed in planned if seed not in pairs]
    decided["diverged"] = [
        {"arm": row["arm"], "seed": row["seed"], "step": row["value"]}
        for row in rows
        if row["metric"] == DIVERGED and row["arm"] in arms
    ]
    return decide_values(decided, {seed: pair[: len(arms)] for seed, pair in pairs.items()})


def decide_values(hypothesis: Mapping[str, Any], values: Mapping[int, tuple[float, ...]]) -> dict[str, Any]:
    """The hypothesis with outcome, numbers and reason; `values` are those of its arms by seed."""
    estimand, confidence, decided = hypothesis["estimand"], hypothesis["confidence"], dict(hypothesis)
    scaled, name = {seed: on_scale(estimand, *sides) for seed, sides in values.items()}, ESTIMATE[estimand]
    decided["seeds"] = [
        {"seed": seed, **dict(zip(("arm_value", "comparator_value"), sides))}
        | {name: None if scaled[seed] is None else shown(hypothesis, scaled[seed])}
        for seed, sides in values.items()
    ]
    unusable = [seed for seed, value in scaled.items() if value is None]
    if unusable or len(values) < 2:
        return decided | {"outcome": rule.INCONCLUSIVE, "reason": reasons.undecidable(decided, unusable)}

    array, (centre, unit, margin) = np.array(list(scaled.values())), scale_of(hypothesis)
    sd = float(array.std(ddof=1))
    mean, low, high = (shown(hypothesis, float(value)) for value in rule.t_interval(array, confidence))
    outcomes = rule.decide_outcomes((array - centre) / unit, confidence, margin, hypothesis["test"])
    rates = rule.error_rates(member_of(hypothesis, sd), confidence)
    decided |= {"outcome": str(outcomes), name: mean, "interval": [low, high]}
    decided["error_rates"] = {SD[estimand]: sd, **rates}
    return decided | {"reason": reasons.decided(decided)}


def on_scale(estimand: str, arm: float, *comparator: float) -> float | None:
    """The estimand of one seed on its scale; None for a ratio without a logarithm."""
    if estimand != RATIO:
        return arm - sum(comparator)
    return math.log(arm) - math.log(*comparator) if min(arm, *comparator) > 0 else None


def metric_used(
    hypothesis: Mapping[str, Any], context: Mapping[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The metric to look up, and each field in which a rehearsal departs from the preregistered one."""
    asked = hypothesis["metric"]
    point = point_named_by(context["points"], asked)
    at = context["points"][point] if point else {}
    offered = {"num_samples": at.get("num_samples"), "num_probes": context["num_probes"]}
    if asked["name"].startswith(("fid", "fd_", "rot_")):
        offered["name"] = context["metric"]
    substitutions = [
        {"field": "metric" if name == "name" else name, "preregistered": asked[name], "used": offered[name]}
        for name in ("name", *_COUNTS)
        if name in offered and asked.get(name) is not None and asked[name] != offered[name]
    ]
    if substitutions and not context["rehearsal"]:
        first = substitutions[0]
        raise PipelineError(
            f"preset {context['preset']} is the preregistered one but has {first['field']} {first['used']} "
            f"where hypothesis {hypothesis['id']} preregisters {first['preregistered']}; "
            "restore the preset or amend the preregistration"
        )
    name = offered.get("name", asked["name"])
    used = {
        "metric": name,
        "step": context["final_step"],
        "weights": "ema" if asked["ema"] else "last",
        "point": point,
        "comparator_point": asked.get("comparator_point", point),
        "sampler": at.get("sampler"),
        "nfe": at.get("nfe"),
        "guidance_scale": at.get("guidance_scale"),
        "objective": asked.get("objective"),
        **{count: offered[count] if asked.get(count) is not None else None for count in _COUNTS},
        "extractor": context["metric"] if point else None,
    }
    return used, substitutions


def _paired_values(
    hypothesis: Mapping[str, Any],
    used: Mapping[str, Any],
    rows: Sequence[Row],
    seeds: Sequence[int],
    untrained: Sequence[str],
    final_steps: Mapping[str, int],
) -> dict[int, tuple[float, float]]:
    """(arm value, comparator value) of every seed that has both; all rows taken must be comparable.

    An `untrained` arm has one value, without a step, for every seed. `final_steps` are those of arms that
    train longer or shorter than the others.
    """
    pairs: dict[int, tuple[float, float]] = {}
    first: Row | None = None
    # A hypothesis may name another point for the comparator: then all that follows from the point may differ.
    of_points = ("point", "sampler", "eta", "nfe", "guidance_scale")
    may_differ = of_points if used["point"] != used["comparator_point"] else ()
    sides = [(hypothesis["arm"], used["point"]), (hypothesis["comparator"], used["comparator_point"])]
    if any(arm in untrained for arm, _ in sides):
        may_differ += ("step", "weights")
    own = {arm: {**used, "step": final_steps.get(arm, used["step"])} for arm, _ in sides}
    if len({wanted["step"] for wanted in own.values()}) > 1:
        may_differ += ("step",)
    own |= {arm: {**used, "step": 0, "weights": None} for arm in untrained}
    for seed in seeds:
        found = [
            _find_row(rows, arm, 0 if arm in untrained else seed, own[arm], point) for arm, point in sides
        ]
        for row in found:
            if row is not None:
                first = first or row
                require_comparable(first, row, may_differ)
        if None not in found:
            pairs[seed] = (float(found[0]["value"]), float(found[1]["value"]))
    return pairs


def _find_row(
    rows: Sequence[Row], arm: str, seed: int, used: Mapping[str, Any], point: str | None
) -> Row | None:
    wanted = {name: used[name] for name in ("metric", "step", "weights", "objective")}
    wanted |= {"arm": arm, "seed": seed, "point": point}
    found = [row for row in rows if all(flat(row).get(name) == value for name, value in wanted.items())]
    for row in found:
        for name in _COUNTS:
            count = row["on"].get(name)
            if used[name] not in (None, count):
                raise PipelineError(
                    f"{used['metric']} of {arm} seed {seed} has {name} {count} where {used[name]} is needed; "
                    "delete that file and run again"
                )
        require_comparable(found[0], row)
    return found[0] if found else None


def _family(experiment: str, confirmatory: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The chance that an experiment's confirmatory hypotheses together give any false verdict."""
    own = [hypothesis for hypothesis in confirmatory if hypothesis["experiment"] == experiment]
    members = [
        member_of(hypothesis, hypothesis["error_rates"][SD[hypothesis["estimand"]]])
        for hypothesis in own
        if hypothesis["error_rates"] is not None  # undecided ones have no spread to simulate with
    ]
    confidence = own[0]["confidence"]
    return {
        "experiment": experiment,
        "hypotheses": [hypothesis["id"] for hypothesis in own],
        "confidence": confidence,
        "num_simulated": len(members),
        "by_num_seeds": [
            {
                "num_seeds": num_seeds,
                "false_verdicts": rule.family_false_verdicts(members, confidence, num_seeds),
            }
            for num_seeds in (rule.NUM_SEEDS if members else ())
        ],
    }


def member_of(hypothesis: Mapping[str, Any], sd: float) -> rule.Member:
    _, unit, margin = scale_of(hypothesis)
    return sd / abs(unit), margin, hypothesis["test"]
