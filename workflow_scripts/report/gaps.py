"""What was planned and is not in the results, in sentences: arms, seeds, samplers and metrics without a value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import counted, join_words, sampler_label
from workflow_scripts.report.tables import markdown
from workflow_scripts.study.reasons import metric_name

if TYPE_CHECKING:
    import pandas as pd

Run = tuple[str, int]


def gaps(context: ReportContext) -> list[str]:
    """One sentence (Markdown) per gap, the largest first; empty when every planned value of the last step is there."""
    arms, seeds = context.arms, context.report["seeds"]
    measured = {(row["arm"], row["seed"]) for row in context.results}
    absent = [arm for arm in arms if not any((arm, seed) in measured for seed in seeds)]
    sentences = []
    if absent and len(absent) == len(arms):
        return ["There are no results at all."]
    if absent:
        sentences.append(
            f"No result of {_names(context, absent)}: nothing is said about {'it' if len(absent) == 1 else 'them'}."
        )
    for arm in arms:
        lacking = [seed for seed in seeds if (arm, seed) not in measured]
        if lacking and arm not in absent:
            sentences.append(
                f"{_names(context, [arm])} lacks {_seeds(lacking)} ({len(seeds) - len(lacking)} of {len(seeds)} seeds have results)."
            )
    runs = [(arm, seed) for arm in arms for seed in seeds if (arm, seed) in measured]
    for what, found in _planned(context):
        sentences += _unmeasured(context, what, runs, found)
    if len(seeds) == 1:
        sentences.append("Only one seed was planned, so there is no interval and nothing can be decided.")
    return sentences


def _planned(context: ReportContext) -> Iterable[tuple[str, set[Run]]]:
    """Name of each planned measurement, and the runs that have it."""
    report = context.report
    metric = report["metric"]
    for sampler in report["samplers"]:
        for nfe in sampler["nfe"]:
            frame = context.final_rows(metric, sampler=sampler["name"], eta=sampler.get("eta"), nfe=nfe)
            yield (
                f"{metric_name(metric)} with {sampler_label(sampler['name'], sampler.get('eta'))} at NFE {nfe}",
                _runs(frame),
            )
    for name, objective in (
        ("hessian_trace", "common"),
        ("hessian_trace", "own"),
        ("hessian_top_eigenvalue", "common"),
    ):
        yield (
            f"{metric_name(name)} ({objective} objective)",
            _runs(context.final_rows(name, objective=objective)),
        )


def _runs(frame: pd.DataFrame) -> set[Run]:
    return {(arm, int(seed)) for arm, seed in zip(frame["arm"], frame["seed"])}


def _unmeasured(context: ReportContext, what: str, runs: list[Run], found: set[Run]) -> list[str]:
    lacking = [run for run in runs if run not in found]
    if not lacking:
        return []
    if len(lacking) == len(runs):
        return [f"{what} was not measured."]
    by_arm: dict[str, list[int]] = {}
    for arm, seed in lacking:
        by_arm.setdefault(arm, []).append(seed)
    listed = join_words([f"{_names(context, [arm])} ({_seeds(seeds)})" for arm, seeds in by_arm.items()])
    return [f"{what} is missing for {listed}."]


def _names(context: ReportContext, arms: list[str]) -> str:
    return join_words([f"“{markdown(context.label(arm))}”" for arm in arms])


def _seeds(seeds: list[int]) -> str:
    return (
        f"seed {seeds[0]}"
        if len(seeds) == 1
        else f"{counted(len(seeds), 'seed')} ({join_words([str(seed) for seed in seeds])})"
    )
