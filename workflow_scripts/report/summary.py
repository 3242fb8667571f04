"""summary.md: its template holds the words; results, verdict, gate and settings give every number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.report import interpretation
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import (
    join_words,
    number,
    point_label,
    rehearsal_line,
    sampler_label,
    seeds_words,
)
from workflow_scripts.report.page import open_template
from workflow_scripts.report.sections import sections_of
from workflow_scripts.report.sourced_numbers import plain, source_numbers, sourced
from workflow_scripts.report.summary_words import setting_words
from workflow_scripts.report.tables import (
    as_markdown,
    markdown,
    rate_text,
    setting_value,
    summary_tables,
    varied_settings,
)
from workflow_scripts.study.reasons import kind_of_run, metric_name


def build_summary(
    context: ReportContext,
    gate: Mapping[str, Any],
    manifest: Mapping[str, Any],
    extractor: Mapping[str, Any],
    template: Path,
) -> str:
    """summary.md as text. `context` needs results, verdict and scale marks."""
    with open_template([template], template.name, autoescape=False, filters=FILTERS) as opened:
        return plain(opened.render(_content(context, gate, manifest, extractor)))


def summary_blocks(
    context: ReportContext,
    gate: Mapping[str, Any],
    manifest: Mapping[str, Any],
    extractor: Mapping[str, Any],
    template: Path,
) -> dict[str, str]:
    """The Markdown of each block of the template; numbers are marked with their origin (sourced_numbers)."""
    with open_template([template], template.name, autoescape=False, filters=FILTERS) as opened:
        values = opened.new_context(_content(context, gate, manifest, extractor))
        return {name: "".join(block(values)).strip() for name, block in opened.blocks.items()}


def _content(
    context: ReportContext,
    gate: Mapping[str, Any],
    manifest: Mapping[str, Any],
    extractor: Mapping[str, Any],
) -> dict[str, Any]:
    """The values in the template."""
    report, verdict = context.report, context.verdict
    setting, own = setting_words(report), varied_settings(report)
    hypotheses = verdict["hypotheses"]
    exploratory = [item for item in hypotheses if item["role"] == "exploratory"]
    simulated = [item for item in hypotheses if item.get("error_rates")]
    accuracy = extractor.get("test_accuracy")
    quality = "" if accuracy is None else f", test accuracy {rate_text(accuracy)}"
    main = context.points[report["main_point"]]
    return {
        "report": report,
        "verdict": verdict,
        "gate": gate,
        "manifest": manifest,
        "extractor": extractor,
        "setting": setting,
        "tables": summary_tables(context, gate),
        "title": markdown(f"{report['study_title']}: {report['preset_title']}"),
        "kind": kind_of_run(report),
        "banner": markdown(rehearsal_line(report)),
        "answer": interpretation.answer(report, verdict),
        "metric": metric_name(report["metric"]),
        "point": f"{sampler_label({**main, 'eta': None})}, NFE {sourced(str(main['nfe']), 'lock')}",
        "samples": setting("sampling.num_samples", "sample"),
        "seeds": source_numbers(seeds_words(report), "setting/seeds"),
        "seed_list": source_numbers(join_words([str(seed) for seed in context.every_seed]), "setting/seeds"),
        "elsewhere": [
            f"{markdown(context.label(arm))} with {point_label(context.points[point])}"
            for arm, point in context.main_points.items()
            if point != report["main_point"]
        ],
        "spread": context.spread,
        "sections": sections_of(context, setting),
        "confidence": f"{100 * verdict['analysis']['confidence']:g} %",
        "substituted": _substituted(hypotheses),
        "incomplete": [
            f"{markdown(item['id'])} lacks {join_words([f'seed {seed}' for seed in item['missing_seeds']])}"
            for item in hypotheses
            if item["missing_seeds"] and item["outcome"] != "not_run"
        ],
        "gaps": interpretation.gaps(context),
        "network": [
            f"{markdown(key)} {setting(f'model.{key}')}"
            for key in dict.fromkeys(key for arm in report["arms"] for key in arm["model"])
            if key != "name"
        ],
        "varied_sections": {key.partition(".")[0] for settings in own.values() for key in settings},
        "features": source_numbers(f"{extractor['feature_dim']} features{quality}", "extractor"),
        "marks": [f"{markdown(mark['label'])}: {number(mark['value'], 3)}" for mark in context.scale_marks],
        "further_metrics": context.further_metrics,
        "has_kernel_distance": any(name.startswith(("kid", "kd_")) for name in context.further_metrics),
        "has_finite_samples": bool(context.finite_samples),
        "study_paragraph": interpretation.study_paragraph(report, verdict),
        "confirmatory": [
            interpretation.hypothesis_paragraph(report, item, context.power)
            for item in hypotheses
            if item["role"] == "confirmatory"
        ],
        "exploratory": [
            interpretation.hypothesis_paragraph(report, item, context.power) for item in exploratory
        ],
        "num_unadjusted": sum(item["interval"] is not None for item in exploratory),
        "num_simulations": f"{simulated[0]['error_rates']['num_simulations']:,}" if simulated else "",
        "families": {
            family["experiment"]: join_words(
                [
                    f"{rate_text(point['false_verdicts'])} with {point['num_seeds']} seeds"
                    for point in family["by_num_seeds"]
                ]
            )
            for family in verdict.get("families", [])
            if family["by_num_seeds"]
        },
    }


def _substituted(hypotheses: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was measured in place of what was preregistered, with the hypotheses to which it applies."""
    found: dict[str, list[str]] = {}
    for item in hypotheses:
        for change in item["substitutions"]:
            used, asked = (markdown(setting_value(change[key])) for key in ("used", "preregistered"))
            text = f"{markdown(change['field'])} {used} in place of {asked}"
            found.setdefault(text, []).append(markdown(item["id"]))
    return [
        source_numbers(f"{change} ({', '.join(ids)})", f"hypothesis/{' '.join(ids)}")
        for change, ids in found.items()
    ]


def _changes(changes: Sequence[Mapping[str, Any]]) -> str:
    """What an amendment changed; arms with the same changes are named together."""
    arms: dict[str, list[str]] = {}
    for change in changes:
        arm, _, key = change["what"].rpartition(": ")
        text = f"{markdown(key)}: {_locked_value(change.get('locked'))} → {_locked_value(change.get('now'))}"
        arms.setdefault(text, []).append(markdown(arm))
    together: dict[str, list[str]] = {}
    for text, names in arms.items():
        together.setdefault(", ".join(filter(None, names)), []).append(text)
    return "; ".join(
        f"{names}: {', '.join(texts)}" if names else ", ".join(texts) for names, texts in together.items()
    )


def _planned(power: Mapping[str, float]) -> str:
    """`H1 83.0 % and H2 90.0 %`."""
    return join_words([f"{markdown(name)} {rate_text(value)}" for name, value in power.items()])


def _locked_value(value: Any) -> str:
    is_hash = isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
    return f"sha256 {_hash(value)}" if is_hash else markdown(setting_value(value))


def _hash(digest: str) -> str:
    return sourced(digest[:12], f"hash/{digest}")


FILTERS = {
    "markdown": markdown,
    "source": source_numbers,
    "table": as_markdown,
    "hash": _hash,
    "changes": _changes,
    "planned": _planned,
}
