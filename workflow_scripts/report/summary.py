"""The content of summary.md: every number is looked up from results, verdict, gate and settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.report import interpretation, tables
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.gaps import gaps
from workflow_scripts.report.labels import counted, join_words, number, rehearsal_line, sampler_label
from workflow_scripts.report.page import render
from workflow_scripts.report.sourced_numbers import plain, source_numbers, sourced
from workflow_scripts.report.tables import as_markdown, markdown, rate_text, setting_value
from workflow_scripts.study.reasons import metric_name

PARAGRAPH = "\n\n"


def build_summary(
    context: ReportContext,
    gate: Mapping[str, Any],
    manifest: Mapping[str, Any],
    extractor_info: Mapping[str, Any],
    template: Path,
) -> str:
    """summary.md as text. `context` must hold results, verdict and scale marks."""
    content = summary_content(context, gate, manifest, extractor_info)
    return render(
        [template], template.name, autoescape=False, **{name: plain(text) for name, text in content.items()}
    )


def summary_content(
    context: ReportContext,
    gate: Mapping[str, Any],
    manifest: Mapping[str, Any],
    extractor_info: Mapping[str, Any],
) -> dict[str, Any]:
    """The Markdown of each place in the template, by name; its numbers are marked with their origin (sourced_numbers)."""
    report, verdict = context.report, context.verdict
    metric = metric_name(report["metric"])
    confirmatory = [item for item in verdict["hypotheses"] if item["role"] == "confirmatory"]
    exploratory = [item for item in verdict["hypotheses"] if item["role"] != "confirmatory"]
    return {
        "title": markdown(f"{report['study_title']}: {report['preset_title']}"),
        "banner": markdown(rehearsal_line(report)) if report["rehearsal"] else "",
        "rehearsal_verdict": "REHEARSAL verdict: it applies to this preset only and is not the preregistered test.",
        "question": markdown(report["question"]),
        "answer": interpretation.answer(report, verdict),
        "verdict_line": source_numbers(
            f"Outcome of the study: **{verdict['outcome']}**. {markdown(verdict['reason'])}", "verdict"
        ),
        "hypothesis_table": as_markdown(tables.hypothesis_table(report, verdict)),
        "missing": _missing(context),
        "verdict_notes": PARAGRAPH.join(_verdict_notes(verdict)),
        "setup": PARAGRAPH.join(_setup(report, manifest, extractor_info)),
        "configurations": "Arms share everything but the settings below. Baselines are what the others are compared with.",
        "configuration_table": as_markdown(tables.configuration_table(report)),
        "main_result_title": f"{metric} with {sampler_label(report['main_sampler'])}, NFE {_main_nfe(report)}, "
        f"{_num_samples(report)} samples, step {_final_step(report)}; lower is better:",
        "main_result_table": as_markdown(tables.main_result_table(context)),
        "sweep_title": f"{metric} by sampler and number of network calls per image, {_over_seeds(report)}:",
        "sweep_table": as_markdown(tables.sweep_table(context)),
        "result_notes": _result_notes(context),
        "further_metrics": _further_metrics(context),
        "further_metrics_table": as_markdown(tables.further_metrics_table(context))
        if context.further_metrics
        else "",
        "finite_sample": _finite_sample(context),
        "finite_sample_table": as_markdown(tables.finite_sample_table(context))
        if context.finite_samples
        else "",
        "training": _training(report),
        "curvature": _curvature(report),
        "curvature_table": as_markdown(tables.curvature_table(context)),
        "interpretation": PARAGRAPH.join(
            [
                interpretation.study_paragraph(report, verdict),
                *(interpretation.hypothesis_paragraph(report, item) for item in confirmatory),
            ]
        ),
        "error_rates": PARAGRAPH.join(_error_rates(report, verdict)),
        "error_rate_table": as_markdown(tables.error_rate_table(verdict)),
        "exploratory": PARAGRAPH.join(
            [
                "Not confirmatory, and no ground for a claim: the curves over network calls other than the main one, further "
                "metrics, the largest eigenvalue, curvature on each arm's own objective and before the last step, curvature "
                "against distance, the error per timestep." + _unadjusted(exploratory),
                *(interpretation.hypothesis_paragraph(report, item) for item in exploratory),
            ]
        ),
        "matched_compute": "Before training, the resolved settings of compared arms were checked to differ in the "
        "preregistered factor only; runs of one seed share initial weights, data order, timesteps and noise. "
        "These are all the differences:",
        "matched_compute_table": as_markdown(tables.matched_compute_table(report, gate)),
        "preregistration": _preregistration(gate),
        "amendments": _bullets(_amendments(gate)),
        "limitations": _bullets(_limitations(report, manifest)),
    }


def _bullets(items: list[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _verdict_notes(verdict: Mapping[str, Any]) -> list[str]:
    analysis = verdict["analysis"]
    confidence = source_numbers(f"{100 * analysis['confidence']:g} %", "lock")
    notes = [
        "A change is the geometric mean over seeds of the arm's value divided by the comparator's, less one, with a paired "
        f"Student t interval; family confidence {confidence}, multiplicity: "
        f"{markdown(analysis['multiplicity'])}. A hypothesis is better or worse when the change reaches the threshold and the "
        "interval excludes zero change, neutral when the whole interval stays within the threshold, and inconclusive "
        "otherwise. Upwards, the threshold's mirror in the logarithm counts."
    ]
    substituted: dict[str, list[str]] = {}
    for item in verdict["hypotheses"]:
        for change in item["substitutions"]:
            used, asked = (markdown(setting_value(change[key])) for key in ("used", "preregistered"))
            substituted.setdefault(f"{markdown(change['field'])} {used} in place of {asked}", []).append(
                markdown(item["id"])
            )
    if substituted:
        listed = "; ".join(
            source_numbers(f"{change} ({', '.join(ids)})", f"hypothesis/{' '.join(ids)}")
            for change, ids in substituted.items()
        )
        notes.append(f"Substituted in this rehearsal: {listed}.")
    missing = [
        f"{markdown(item['id'])} lacks {join_words([f'seed {seed}' for seed in item['missing_seeds']])}"
        for item in verdict["hypotheses"]
        if item["missing_seeds"] and item["outcome"] != "not_run"
    ]
    return notes + (
        [source_numbers("Decided without some pairs: " + "; ".join(missing) + ".", "verdict")]
        if missing
        else []
    )


def _missing(context: ReportContext) -> str:
    found = gaps(context)
    if not found:
        return "**Missing.** Nothing: every planned arm, seed, sampler and number of network calls has its results."
    return source_numbers("**Missing.** " + " ".join(found), "results")


def _over_seeds(report: Mapping[str, Any]) -> str:
    return "mean ± sd over seeds" if len(report["seeds"]) > 1 else "one seed, hence no spread"


def _unadjusted(exploratory: list[Mapping[str, Any]]) -> str:
    ran = [item for item in exploratory if item["interval"] is not None]
    if len(ran) < 2:
        return ""
    return source_numbers(
        f" The intervals of the {len(ran)} exploratory hypotheses below are not adjusted for their number: the more there are, "
        "the likelier is a false verdict among them.",
        "verdict",
    )


def _setup(
    report: Mapping[str, Any], manifest: Mapping[str, Any], extractor_info: Mapping[str, Any]
) -> list[str]:
    training, model = report["training"], report["model"]
    shape = " × ".join(str(side) for side in manifest["shape"])
    data = source_numbers(
        f"**Data.** {markdown(manifest['title'])}: {manifest['train']['count']:,} training and {manifest['test']['count']:,} "
        f"test images of {shape}. Licence: {markdown(manifest['licence'])}.",
        "data",
    )
    rest = [
        source_numbers(f"{markdown(key)} {markdown(setting_value(value))}", f"setting/model.{key}")
        for key, value in model.items()
        if key != "name" and value is not None
    ]
    network = f"**Model.** {markdown(model['name'])} ({', '.join(rest)})."
    seeds = source_numbers(
        _seeds(report) + f" per arm ({join_words([str(seed) for seed in report['seeds']])})", "setting/seeds"
    )
    steps, batch, rate, decay = (
        sourced(f"{training[key]:{form}}", f"setting/training.{key}")
        for key, form in (("num_steps", ","), ("batch_size", ","), ("learning_rate", "g"), ("ema_decay", "g"))
    )
    optimisation = (
        f"**Training.** {steps} steps of batch {batch}, learning rate {rate}, EMA decay {decay}; {seeds}."
    )
    accuracy = extractor_info.get("test_accuracy")
    quality = "" if accuracy is None else f", test accuracy {rate_text(accuracy)}"
    features = source_numbers(f"{extractor_info['feature_dim']} features{quality}", "extractor")
    evaluation = (
        f"**Evaluation.** {metric_name(report['metric'])}: Fréchet distance on features of the extractor "
        f"{markdown(extractor_info['name'])} ({features}), "
        f"{_num_samples(report)} samples from the averaged weights against the training images."
    )
    return [data, network, optimisation, evaluation]


def _result_notes(context: ReportContext) -> str:
    marks = [f"{markdown(mark['label'])}: {number(mark['value'], 3)}" for mark in context.scale_marks]
    return (
        source_numbers(f"For scale, on the same features: {'; '.join(marks)}.", "reference") if marks else ""
    )


def _further_metrics(context: ReportContext) -> str:
    report, metrics = context.report, context.further_metrics
    if not metrics:
        return "No further metric of the samples was measured."
    sentences = [f"Further metrics on the same features, {_main_point(report)}, {_over_seeds(report)}."]
    if any(metric == "kid" or metric.startswith("kd_") for metric in metrics):
        sentences.append(
            "Kernel distance: squared MMD with a cubic kernel, the mean over 100 random subsets, unbiased, lower is better. The 95 % "
            "interval of one run says how its value might have come out with other samples of the same weights (reference kept, "
            "jackknife); it says nothing about other seeds. It errs to the wide side where a distance is near zero."
        )
    if "precision" in metrics:
        sentences.append(
            "Precision and recall (3 nearest neighbours): the share of samples near real images, and the reverse."
        )
    if "inception_score" in metrics:
        sentences.append("Inception Score: higher is better; its spread is that between 10 splits.")
    return source_numbers(" ".join(sentences), "stage/compute_metrics")


def _finite_sample(context: ReportContext) -> str:
    report = context.report
    if not context.finite_samples:
        return (
            f"How much of {metric_name(report['metric'])} is due to the number of samples was not measured."
        )
    return (
        f"How much of {metric_name(report['metric'])} is due to the number of samples, {_main_point(report)}, mean over seeds: "
        "the distance of parts of the samples and of all, and the bootstrap standard error of the latter (samples drawn "
        "again, reference kept), "
        + source_numbers("± 1.96 of which is a 95 % interval for one run.", "stage/measure_finite_sample")
        + " It says nothing about other seeds."
    )


def _main_point(report: Mapping[str, Any]) -> str:
    return f"{sampler_label(report['main_sampler'])} at NFE {_main_nfe(report)}"


def _main_nfe(report: Mapping[str, Any]) -> str:
    return sourced(str(report["main_nfe"]), "lock")


def _num_samples(report: Mapping[str, Any]) -> str:
    return sourced(f"{report['sampling']['num_samples']:,}", "setting/sampling.num_samples")


def _final_step(report: Mapping[str, Any]) -> str:
    return sourced(f"{report['final_step']:,}", "setting/training.num_steps")


def _seeds(report: Mapping[str, Any]) -> str:
    return source_numbers(counted(len(report["seeds"]), "seed"), "setting/seeds")


def _curvature_batch(report: Mapping[str, Any]) -> str:
    return source_numbers(counted(report["curvature"]["batch_size"], "image"), "setting/curvature.batch_size")


def _training(report: Mapping[str, Any]) -> str:
    return (
        "Arms minimise different weighted losses, so only the unweighted error and the error per timestep compare them. "
        f"Runs end at step {_final_step(report)}; the last checkpoint counts, none was selected."
    )


def _curvature(report: Mapping[str, Any]) -> str:
    probes = source_numbers(
        counted(report["curvature"]["num_probes"], "probe"), "setting/curvature.num_probes"
    )
    return (
        f"Hutchinson's estimate with {probes} on one batch of {_curvature_batch(report)}, equal for all arms, at the last checkpoint; {_over_seeds(report)}. The "
        "common objective (unweighted error of the noise) is the primary estimand. The trace of an arm's own objective "
        "scales with its loss weights, so a difference there is no sign of flatter minima."
    )


def _error_rates(report: Mapping[str, Any], verdict: Mapping[str, Any]) -> list[str]:
    simulated = [item for item in verdict["hypotheses"] if item.get("error_rates")]
    if not simulated:
        return ["No hypothesis has enough paired seeds to simulate the rule."]
    count = simulated[0]["error_rates"]["num_simulations"]
    notes = [
        f"The rule was applied to {sourced(f'{count:,}', 'verdict')} simulated studies per row, drawn with the spread between seeds that was recorded "
        "here. False verdicts: better or worse although nothing differs. Power: better when the true change equals the "
        "threshold, or is twice as large in the logarithm. The spread is itself estimated from "
        f"{_seeds(report)}, so these rates are rough."
    ]
    for family in verdict.get("families", []):
        points = [
            f"{rate_text(point['false_verdicts'])} with {point['num_seeds']} seeds"
            for point in family["by_num_seeds"]
        ]
        if points:
            notes.append(
                f"At least one false verdict among the confirmatory hypotheses of {markdown(family['experiment'])}: "
                f"{source_numbers(join_words(points), 'verdict')}."
            )
    return notes


def _preregistration(gate: Mapping[str, Any]) -> str:
    listed = [
        f"{markdown(item['experiment'])}: {source_numbers(markdown(item['title']), 'lock')} (`{markdown(item['path'])}`, "
        f"sha256 {_hash(item['sha256'])})"
        for item in gate["preregistrations"]
    ]
    return (
        f"{'; '.join(listed)}. Locked in `{markdown(gate['lock']['path'])}` (sha256 {_hash(gate['lock']['sha256'])}); "
        "the lock was verified before training. Amendments:"
    )


def _hash(digest: str) -> str:
    return sourced(digest[:12], f"hash/{digest}")


def _amendments(gate: Mapping[str, Any]) -> list[str]:
    lines = []
    for item in gate["amendments"]:
        seen = "results had been seen" if item["results_seen"] else "no results had been seen"
        text = f"{markdown(item['date'])}, {seen}: {markdown(item['reason'])} ({_changes(item['changes'])})"
        lines.append(source_numbers(text, "lock"))
    return lines or ["None."]


def _changes(changes: list[Mapping[str, Any]]) -> str:
    """What an amendment changed; arms that changed alike are named together."""
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


def _locked_value(value: Any) -> str:
    is_hash = isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
    return f"sha256 {_hash(value)}" if is_hash else markdown(setting_value(value))


def _limitations(report: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    limits = [
        f"{_seeds(report)} per arm: the t interval assumes roughly normal log ratios, which so few "
        "cannot test.",
        f"One dataset ({markdown(manifest['title'])}), one network, one training length; other scales may differ in size "
        "and sign.",
    ]
    if report["metric"] != "fid":
        limits.append(
            f"{metric_name(report['metric'])} is not FID: its features come from another extractor, so its values compare with "
            "nothing outside this report."
        )
    limits.append(
        f"A Fréchet distance from {_num_samples(report)} samples is biased upwards; equal counts make arms "
        "comparable, not the level."
    )
    limits.append(
        f"Curvature is measured on one batch of {_curvature_batch(report)} and describes the "
        "neighbourhood of one checkpoint."
    )
    if report["rehearsal"]:
        preset = markdown(report["preregistered_preset"])
        limits.insert(0, f"This is a rehearsal; the preregistered preset {preset} was not run here.")
    return limits
