"""The content of summary.md: every number is looked up from results, verdict, gate and settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.report import interpretation, tables
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import counted, join_words, number, rehearsal_line, sampler_label
from workflow_scripts.report.page import render
from workflow_scripts.report.sourced_numbers import plain, source_numbers, sourced
from workflow_scripts.report.tables import as_markdown, markdown, rate_text, setting_value
from workflow_scripts.study.config import flatten
from workflow_scripts.study.reasons import metric_name

PARAGRAPH = "\n\n"
# Sentences that hold for every study.
CONFIGURATIONS = (
    "The arms differ only in the settings below. Baselines are the arms that others are compared with."
)
REHEARSAL_VERDICT = "REHEARSAL verdict: it applies to this preset only and is not the preregistered test."
RULE = (
    "A hypothesis is better or worse when the change reaches the threshold and the interval excludes zero "
    "change, neutral when the whole interval stays within the threshold, and inconclusive otherwise. For "
    "increases, the threshold is mirrored on the log scale."
)
EXPLORATORY = (
    "These results are not confirmatory and support no claim: the curves at other NFE than the main one, "
    "further metrics, the largest eigenvalue, curvature on each arm's own objective and before the last "
    "step, curvature against distance, and the error per timestep."
)
MATCHED_COMPUTE = (
    "Before training, the settings of compared arms were checked to differ only in the preregistered factor. "
    "Runs with the same seed share initial weights, data order, timesteps and noise. These are all the "
    "differences:"
)
KERNEL_DISTANCE = (
    "Kernel distance: unbiased squared MMD with a cubic kernel, averaged over 100 random subsets; lower is "
    "better. The 95 % interval of one run (jackknife, fixed reference) covers other samples from the same "
    "weights, not other seeds; for distances near zero it is too wide."
)
PRECISION_RECALL = (
    "Precision and recall (3 nearest neighbours): the share of samples near real images, and the share of "
    "real images near samples."
)
INCEPTION_SCORE = "Inception Score: higher is better; its spread is that between 10 splits."


def build_summary(
    context: ReportContext,
    gate: Mapping[str, Any],
    manifest: Mapping[str, Any],
    extractor_info: Mapping[str, Any],
    template: Path,
) -> str:
    """summary.md as text. `context` needs results, verdict and scale marks."""
    content = summary_content(context, gate, manifest, extractor_info)
    texts = {name: plain(text) for name, text in content.items()}
    return render([template], template.name, autoescape=False, **texts)


def summary_content(
    context: ReportContext,
    gate: Mapping[str, Any],
    manifest: Mapping[str, Any],
    extractor_info: Mapping[str, Any],
) -> dict[str, str]:
    """The Markdown of each place in the template; numbers are marked with their origin (sourced_numbers)."""
    report, verdict = context.report, context.verdict
    metric = metric_name(report["metric"])
    spread = "mean ± sd over seeds" if len(report["seeds"]) > 1 else "one seed, so no spread"
    samples = _setting(report, "sampling.num_samples", "sample")
    step = _setting(report, "training.num_steps")
    confirmatory, exploratory = (
        [item for item in verdict["hypotheses"] if (item["role"] == "confirmatory") == wanted]
        for wanted in (True, False)
    )
    outcome = f"Outcome of the study: **{verdict['outcome']}**. {markdown(verdict['reason'])}"
    further, finite = bool(context.further_metrics), bool(context.finite_samples)
    return {
        "title": markdown(f"{report['study_title']}: {report['preset_title']}"),
        "banner": markdown(rehearsal_line(report)) if report["rehearsal"] else "",
        "rehearsal_verdict": REHEARSAL_VERDICT,
        "question": markdown(report["question"]),
        "answer": interpretation.answer(report, verdict),
        "verdict_line": source_numbers(outcome, "verdict"),
        "hypothesis_table": as_markdown(tables.hypothesis_table(report, verdict)),
        "missing": _missing(context),
        "verdict_notes": PARAGRAPH.join(_verdict_notes(verdict)),
        "setup": PARAGRAPH.join(_setup(report, manifest, extractor_info)),
        "configurations": CONFIGURATIONS,
        "configuration_table": as_markdown(tables.configuration_table(report)),
        "main_result_title": f"{metric} with {_main_point(report)}, {samples}, step {step}; lower is better:",
        "main_result_table": as_markdown(tables.main_result_table(context)),
        "sweep_title": f"{metric} by sampler and network calls per image (NFE), {spread}:",
        "sweep_table": as_markdown(tables.sweep_table(context)),
        "result_notes": _scale_marks(context),
        "further_metrics": _further_metrics(context, spread),
        "further_metrics_table": as_markdown(tables.further_metrics_table(context)) if further else "",
        "finite_sample": _finite_sample(context),
        "finite_sample_table": as_markdown(tables.finite_sample_table(context)) if finite else "",
        "training": "The arms minimise losses with different weights, so only the unweighted error and the "
        f"error per timestep compare them. Runs end at step {step}; the last checkpoint counts, and none was "
        "selected.",
        "curvature": _curvature(report, spread),
        "curvature_table": as_markdown(tables.curvature_table(context)),
        "interpretation": PARAGRAPH.join(
            [interpretation.study_paragraph(report, verdict), *_paragraphs(report, confirmatory)]
        ),
        "error_rates": PARAGRAPH.join(_error_rates(report, verdict)),
        "error_rate_table": as_markdown(tables.error_rate_table(verdict)),
        "exploratory": PARAGRAPH.join(
            [EXPLORATORY + _unadjusted(exploratory), *_paragraphs(report, exploratory)]
        ),
        "matched_compute": MATCHED_COMPUTE,
        "matched_compute_table": as_markdown(tables.matched_compute_table(report, gate)),
        "preregistration": _preregistration(gate),
        "amendments": _bullets(_amendments(gate)),
        "limitations": _bullets(_limitations(report, manifest)),
    }


def _bullets(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _paragraphs(report: Mapping[str, Any], hypotheses: Sequence[Mapping[str, Any]]) -> list[str]:
    return [interpretation.hypothesis_paragraph(report, item) for item in hypotheses]


def _setting(report: Mapping[str, Any], name: str, noun: str = "") -> str:
    """The value of a setting such as `training.num_steps`, marked; with a noun, `40 steps`."""
    value = flatten(report)[name]
    text = counted(value, noun) if noun else f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return source_numbers(text, f"setting/{name}")


def _seeds(report: Mapping[str, Any]) -> str:
    return source_numbers(counted(len(report["seeds"]), "seed"), "setting/seeds")


def _main_point(report: Mapping[str, Any]) -> str:
    return f"{sampler_label(report['main_sampler'])}, NFE {sourced(str(report['main_nfe']), 'lock')}"


def _missing(context: ReportContext) -> str:
    found = interpretation.gaps(context)
    if not found:
        return "**Missing.** Nothing: every planned arm, seed, sampler and NFE has its results."
    return source_numbers("**Missing.** " + " ".join(found), "results")


def _verdict_notes(verdict: Mapping[str, Any]) -> list[str]:
    analysis = verdict["analysis"]
    confidence = source_numbers(f"{100 * analysis['confidence']:g} %", "lock")
    notes = [
        "A change is the geometric mean over seeds of the ratio of the arm's value to the comparator's, "
        f"minus one; its interval is a paired Student t interval. Family confidence {confidence}, "
        f"multiplicity: {markdown(analysis['multiplicity'])}. {RULE}"
    ]
    substituted: dict[str, list[str]] = {}
    for item in verdict["hypotheses"]:
        for change in item["substitutions"]:
            used, asked = (markdown(setting_value(change[key])) for key in ("used", "preregistered"))
            text = f"{markdown(change['field'])} {used} in place of {asked}"
            substituted.setdefault(text, []).append(markdown(item["id"]))
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
    if missing:
        notes.append(source_numbers(f"Decided without some pairs: {'; '.join(missing)}.", "verdict"))
    return notes


def _unadjusted(exploratory: Sequence[Mapping[str, Any]]) -> str:
    count = sum(item["interval"] is not None for item in exploratory)
    if count < 2:
        return ""
    return source_numbers(
        f" The intervals of the {count} exploratory hypotheses below are not adjusted for their number: the "
        "more there are, the more likely is a false verdict among them.",
        "verdict",
    )


def _setup(
    report: Mapping[str, Any], manifest: Mapping[str, Any], extractor_info: Mapping[str, Any]
) -> list[str]:
    model = report["model"]
    shape = " × ".join(str(side) for side in manifest["shape"])
    data = source_numbers(
        f"**Data.** {markdown(manifest['title'])}: {manifest['train']['count']:,} training and "
        f"{manifest['test']['count']:,} test images of {shape}. Licence: {markdown(manifest['licence'])}.",
        "data",
    )
    rest = [
        source_numbers(f"{markdown(key)} {markdown(setting_value(value))}", f"setting/model.{key}")
        for key, value in model.items()
        if key != "name" and value is not None
    ]
    listed = source_numbers(join_words([str(seed) for seed in report["seeds"]]), "setting/seeds")
    steps, batch, rate, decay = (
        _setting(report, f"training.{key}")
        for key in ("num_steps", "batch_size", "learning_rate", "ema_decay")
    )
    accuracy = extractor_info.get("test_accuracy")
    quality = "" if accuracy is None else f", test accuracy {rate_text(accuracy)}"
    features = source_numbers(f"{extractor_info['feature_dim']} features{quality}", "extractor")
    return [
        data,
        f"**Model.** {markdown(model['name'])} ({', '.join(rest)}).",
        f"**Training.** {steps} steps of batch {batch}, learning rate {rate}, EMA decay {decay}; "
        f"{_seeds(report)} per arm ({listed}).",
        f"**Evaluation.** {metric_name(report['metric'])}: Fréchet distance on features of the extractor "
        f"{markdown(extractor_info['name'])} ({features}) between "
        f"{_setting(report, 'sampling.num_samples', 'sample')} from the averaged weights and the training "
        "images.",
    ]


def _scale_marks(context: ReportContext) -> str:
    marks = [f"{markdown(mark['label'])}: {number(mark['value'], 3)}" for mark in context.scale_marks]
    text = f"For scale, on the same features: {'; '.join(marks)}."
    return source_numbers(text, "reference") if marks else ""


def _further_metrics(context: ReportContext, spread: str) -> str:
    metrics = context.further_metrics
    if not metrics:
        return "No further metric of the samples was measured."
    sentences = [f"Further metrics on the same features, {_main_point(context.report)}, {spread}."]
    if any(metric == "kid" or metric.startswith("kd_") for metric in metrics):
        sentences.append(KERNEL_DISTANCE)
    if "precision" in metrics:
        sentences.append(PRECISION_RECALL)
    if "inception_score" in metrics:
        sentences.append(INCEPTION_SCORE)
    return source_numbers(" ".join(sentences), "stage/compute_metrics")


def _finite_sample(context: ReportContext) -> str:
    metric = metric_name(context.report["metric"])
    if not context.finite_samples:
        return f"How {metric} depends on the number of samples was not measured."
    interval = source_numbers("± 1.96 standard errors", "stage/measure_finite_sample")
    confidence = source_numbers("95 %", "stage/measure_finite_sample")
    return (
        f"How {metric} depends on the number of samples ({_main_point(context.report)}, mean over seeds): "
        "the distance from parts of the samples and from all of them, and the bootstrap standard error of "
        f"the latter (samples redrawn, reference fixed). {interval} are a {confidence} interval for one run; "
        "they say nothing about other seeds."
    )


def _curvature(report: Mapping[str, Any], spread: str) -> str:
    probes = _setting(report, "curvature.num_probes", "probe")
    batch = _setting(report, "curvature.batch_size", "image")
    return (
        f"Hutchinson's estimate of the Hessian trace with {probes} on one batch of {batch}, the same for all "
        f"arms, at the last checkpoint; {spread}. The common objective (unweighted error of the predicted "
        "noise) is the primary estimand. The trace of an arm's own objective scales with its loss weights, "
        "so a difference there does not show flatter minima."
    )


def _error_rates(report: Mapping[str, Any], verdict: Mapping[str, Any]) -> list[str]:
    simulated = [item for item in verdict["hypotheses"] if item.get("error_rates")]
    if not simulated:
        return ["No hypothesis has enough paired seeds to simulate the rule."]
    count = sourced(f"{simulated[0]['error_rates']['num_simulations']:,}", "verdict")
    notes = [
        f"The rule was applied to {count} simulated studies per row, with the spread between seeds that was "
        "measured here. False verdicts: better or worse although nothing differs. Power: better when the "
        "true change equals the threshold, or twice the threshold on the log scale. The spread is itself "
        f"estimated from {_seeds(report)}, so these rates are rough."
    ]
    for family in verdict.get("families", []):
        points = [
            f"{rate_text(point['false_verdicts'])} with {point['num_seeds']} seeds"
            for point in family["by_num_seeds"]
        ]
        if points:
            notes.append(
                "At least one false verdict among the confirmatory hypotheses of "
                f"{markdown(family['experiment'])}: {source_numbers(join_words(points), 'verdict')}."
            )
    return notes


def _preregistration(gate: Mapping[str, Any]) -> str:
    listed = [
        f"{markdown(item['experiment'])}: {source_numbers(markdown(item['title']), 'lock')} "
        f"(`{markdown(item['path'])}`, sha256 {_hash(item['sha256'])})"
        for item in gate["preregistrations"]
    ]
    lock = gate["lock"]
    return (
        f"{'; '.join(listed)}. Locked in `{markdown(lock['path'])}` (sha256 {_hash(lock['sha256'])}); the "
        "lock was verified before training. Amendments:"
    )


def _hash(digest: str) -> str:
    return sourced(digest[:12], f"hash/{digest}")


def _amendments(gate: Mapping[str, Any]) -> list[str]:
    lines = []
    for item in gate["amendments"]:
        when = "after results had been seen" if item["results_seen"] else "before any results were seen"
        text = f"{markdown(item['date'])}, {when}: {markdown(item['reason'])} ({_changes(item['changes'])})"
        lines.append(source_numbers(text, "lock"))
    return lines or ["None."]


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


def _locked_value(value: Any) -> str:
    is_hash = isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
    return f"sha256 {_hash(value)}" if is_hash else markdown(setting_value(value))


def _limitations(report: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    limits = []
    if report["rehearsal"]:
        preset = markdown(report["preregistered_preset"])
        limits.append(f"This is a rehearsal; the preregistered preset {preset} was not run here.")
    limits += [
        f"{_seeds(report)} per arm are too few to test the t interval's assumption of roughly normal log "
        "ratios.",
        f"One dataset ({markdown(manifest['title'])}), one network and one training length were studied; at "
        "other scales the size and sign of an effect may differ.",
    ]
    if report["metric"] != "fid":
        limits.append(
            f"{metric_name(report['metric'])} is not FID: its features come from another extractor, so its "
            "values cannot be compared with any outside this report."
        )
    samples = _setting(report, "sampling.num_samples", "sample")
    batch = _setting(report, "curvature.batch_size", "image")
    return [
        *limits,
        f"A Fréchet distance from {samples} is biased upwards; equal counts make the arms comparable, not "
        "the level.",
        f"Curvature is measured on one batch of {batch} and describes the neighbourhood of one checkpoint.",
    ]
