"""The words of summary.md agree with its numbers, which are recomputed here, also for missing results."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.report import made_up_report as made_up
from workflow_scripts.core.files import write_json
from workflow_scripts.core.step import run
from workflow_scripts.report import interpretation, tables
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.costs import duration_text
from workflow_scripts.report.interpretation import gaps
from workflow_scripts.report.labels import verdict_table
from workflow_scripts.report.sections import sections_of
from workflow_scripts.report.sourced_numbers import plain
from workflow_scripts.report.summary import build_summary
from workflow_scripts.report.summary_words import setting_words
from workflow_scripts.report.tables import as_markdown, markdown
from workflow_scripts.steps import write_summary
from workflow_scripts.study import reasons, rule
from workflow_scripts.study.results import flat

TEMPLATE = Path(__file__).resolve().parents[3] / "reports" / "templates" / "summary.md.j2"
# Student's t, 2 degrees of freedom, from a printed table: two-sided 95 %, and 97.5 % (two hypotheses by
# Bonferroni).
T_95, T_97_5 = 4.302653, 6.205347
# Words that claim a change, in the text about one hypothesis.
CLAIMS = r"\b(better|worse|improve\w*|reaches the threshold of|excludes zero|only increases|only decreases)\b"
# Numbers of the protocol, which the text explains: 1.96 and its 95 %, the metrics' neighbours and subsets,
# hash names.
PROTOCOL = {1.96, 95, 3, 100, 256}


def text_of(context: ReportContext) -> str:
    documents = made_up.gate(context.report), made_up.MANIFEST, made_up.EXTRACTOR
    return build_summary(context, *documents, TEMPLATE)


def rendered(root: Path, **choices) -> tuple[str, ReportContext]:
    context = ReportContext.load(*made_up.write_study(root, **choices))
    return text_of(context), context


def section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def paragraph(text: str, hypothesis: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"**{hypothesis}** ("))


def percent(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %".replace("-", "−")


def about(**choices) -> str:
    """The paragraph on a hypothesis with a threshold of 7 %."""
    report = made_up.report_settings()
    item = made_up.verdict(report, made_up.result_rows(report))["hypotheses"][0]
    item |= choices
    return plain(interpretation.hypothesis_paragraph(report, item | {"reason": reasons.decided(item)}))


def recomputed(context: ReportContext, metric: str, arm: str, t: float, **identity) -> tuple[float, ...]:
    """Relative change against A_plain with its t interval, from the result rows alone."""
    value = {
        (row["arm"], row["seed"]): row["value"]
        for row in context.results
        if all(row.get(key) == wanted for key, wanted in {"metric": metric, "step": 200, **identity}.items())
    }
    logs = [math.log(value[arm, seed] / value["A_plain", seed]) for seed in context.report["seeds"]]
    mean = sum(logs) / len(logs)
    half = t * math.sqrt(sum((log - mean) ** 2 for log in logs) / (len(logs) - 1) / len(logs))
    return tuple(math.expm1(end) for end in (mean, mean - half, mean + half))


@pytest.mark.parametrize(
    ("outcome", "must_say"),
    [
        ("better", "and the interval excludes zero change"),
        ("worse", "and the interval excludes zero change"),
        ("neutral", "smaller ones are not"),
        ("inconclusive", "Neither zero change nor a relevant one can be excluded"),
    ],
)
def test_words_and_numbers_are_those_of_the_rows(outcome, must_say, tmp_path):
    text, context = rendered(tmp_path, outcome=outcome)
    assert context.verdict["outcome"] == outcome  # the made-up numbers do what their name says
    distance = {"metric": "fd_toy", "sampler": "ddpm", "nfe": 50}
    for name, arm, t, identity in (
        ("B.H1", "B_weighted", T_97_5, distance),
        ("B.H2", "B_weighted", T_97_5, {"metric": "hessian_trace", "objective": "common"}),
        ("B.X1", "C_cosine", T_95, distance),
    ):
        change, low, high = recomputed(context, arm=arm, t=t, **identity)
        words = paragraph(text, name)
        assert f"interval {percent(low)} to {percent(high)}" in words
        assert f": {percent(change)} (" in words
        assert bool(re.search(CLAIMS, words)) == (not low <= 0 <= high)
        row = next(line for line in section(text, "Verdict").splitlines() if line.startswith(f"| {name} |"))
        assert f"| {percent(change)} |" in row and f"{percent(low)} to {percent(high)}" in row
    words = paragraph(text, "B.H1")
    assert f"(confirmatory): {outcome}. " in words and must_say in words
    answer = next(line for line in text.splitlines() if line.startswith("**Answer.**"))
    assert answer.startswith(f"**Answer.** {outcome.capitalize()}, in this rehearsal: ")
    change = recomputed(context, arm="B_weighted", t=T_97_5, **distance)[0]
    if outcome in ("better", "worse"):
        assert f"{100 * abs(change):.1f} % {'lower' if outcome == 'better' else 'higher'} than" in answer
    else:
        assert not re.search(r"\b(lower|higher|better|worse|improve\w*)\b", answer)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=3), st.sampled_from([0.02, 0.07, 0.3]))
@pytest.mark.slow
def test_no_interval_with_zero_inside_is_ever_called_a_change(differences, threshold):
    """Whatever three seeds give, the sentence claims a change exactly when the interval excludes zero."""
    array = np.array(differences)
    if array.std() < 1e-6:
        return
    mean, low, high = (math.expm1(end) for end in rule.t_interval(array, 0.95))
    outcome = str(rule.decide_outcomes(array, 0.95, -math.log1p(-threshold)))
    words = about(outcome=outcome, threshold=threshold, relative_change=mean, interval=[low, high])
    assert bool(re.search(CLAIMS, words)) == (not low <= 0 <= high), words
    assert f": {percent(mean)} (" in words
    if "Every value inside the interval exceeds" in words:
        margin = -math.log(1 - threshold)
        assert math.log1p(high) <= -margin or math.log1p(low) >= margin


@pytest.mark.parametrize(
    ("outcome", "interval", "phrase"),
    [
        ("better", [-0.10, -0.08], "Every value inside the interval exceeds the threshold."),
        ("better", [-0.15, -0.02], "also contains changes smaller than the threshold"),
        ("inconclusive", [-0.06, -0.01], "zero change, but the estimate is not at least 7.0 % lower"),
        ("inconclusive", [-0.20, 0.01], "reaches beyond −7.0 % or +7.5 %. Neither zero change"),
        # A threshold of 7 % allows +7.4 % upwards, so changes as large as 7 % are not excluded.
        ("neutral", [-0.06, 0.074], "lies between −7.0 % and +7.5 %"),
        ("neutral", [0.01, 0.02], "The interval excludes zero: there is a difference"),
    ],
)
def test_the_interval_limits_what_is_said(outcome, interval, phrase):
    assert phrase in about(outcome=outcome, interval=interval)


def test_opposite_many_and_neutral_results_in_short():
    """Opposite results give no direction; of thirty, three are spelt out; neutral names both margins."""
    report = made_up.report_settings()
    decided = made_up.verdict(report, made_up.result_rows(report))
    first, second, *_ = decided["hypotheses"]

    def verdict(outcome: str, *hypotheses: dict[str, Any]) -> dict[str, Any]:
        return decided | {"outcome": outcome, "hypotheses": list(hypotheses)}

    opposite = verdict("inconclusive", first, second | {"outcome": "worse"})
    assert "opposite directions" in plain(interpretation.study_paragraph(report, opposite))
    assert "1 better and 1 worse" in plain(interpretation.answer(report, opposite))
    neutral = verdict("neutral", first | {"outcome": "neutral"})
    assert "too small to count (−7.0 % to +7.5 %)" in plain(interpretation.answer(report, neutral))
    for outcome in ("better", "inconclusive"):
        thirty = ({**first, "outcome": outcome, "id": f"B.H{number}"} for number in range(30))
        answer = plain(interpretation.answer(report, verdict(outcome, *thirty)))
        assert "and 27 more in the table" in answer and len(answer) < 900


@pytest.mark.parametrize("rehearsal", [True, False])
def test_in_the_terminal_every_hypothesis_is_an_aligned_line_with_its_numbers(rehearsal):
    report = made_up.report_settings(rehearsal=rehearsal)
    verdict = made_up.verdict(report, made_up.result_rows(report, "better"))
    lines = verdict_table(verdict).splitlines()
    assert "S1_made_up (tiny): BETTER." in lines[-1]
    assert lines[0].startswith("REHEARSAL") == rehearsal
    header, rule_line, *rows = lines[rehearsal:-2]
    low, high = map(percent, verdict["hypotheses"][0]["interval"])
    wanted = ["B_weighted / A_plain", "FD (fd_toy), ddpm, NFE 50", "7 % lower", "−20.0 %", "better"]
    assert all(text in rows[0] for text in [*wanted, f"{low} to {high} (97.5 %)"])
    assert rows[3].startswith("B.X2") and rows[3].endswith("not run")
    for start in (match.start() for match in re.finditer("-+", rule_line)):
        assert all(
            f"  {line}"[start : start + 2].isspace() and line[start] != " " for line in (header, *rows)
        )


def test_every_estimand_test_and_combination_is_shown(tmp_path):
    report, inputs = made_up.write_study(tmp_path, outcome="better")
    rows = made_up.result_rows(report, "better")
    context = replace(
        ReportContext.load(report, inputs),
        verdict=made_up.verdict(report, rows, made_up.every_kind()),
        power=None,
    )
    lines = verdict_table(context.verdict).splitlines()
    assert lines[1].split()[-4:] == ["claim", "estimate", "interval", "verdict"]
    for number, (*words, outcome) in enumerate(
        (
            ("B_weighted / A_plain", "7 % lower", "−20.0 %", "better"),
            ("B_weighted / A_plain", "0.1 higher", "+0 to +0 (99.29 %)", "neutral"),
            ("at most 0.05 lower", "held"),
            ("  0.02 to 0.1  ", "failed"),
            ("at most 5 % lower", "+0.0 % to +0.0 % (99.29 %)", "held"),
            ("−1 % to 1 %", "held"),
            ("B_weighted  ", "0.7 to 0.9", "0.760 ", "inconclusive"),
            ("(exploratory)", "all of B.H2, B.H3", "failed"),
            ("(exploratory)", "any of B.H1, B.H4", "held"),
        )
    ):
        assert all(word in lines[3 + number] for word in words) and lines[3 + number].endswith(outcome)
    text = text_of(context)
    assert paragraph(text, "B.H3") == (
        "**B.H3** (confirmatory): held. “weighted γ=5” / “plain”: recall 0.760 → 0.760: +0 (99.29 % "
        "interval +0 to +0, 3 seeds); the whole interval lies within the margin (at most 0.05 lower)."
    )
    assert "recall 0.760 → 0.760: +0 (99.29 % interval +0 to +0" in paragraph(text, "B.H2")
    assert "**B.H7** (confirmatory): inconclusive. “weighted γ=5”: recall 0.760 (" in paragraph(text, "B.H7")
    assert "held. any of B.H1, B.H4: B.H1 is better and B.H4 failed." in paragraph(text, "B.H9")
    assert "opposite directions" in section(text, "Interpretation")
    assert "| sd between seeds | seeds | false verdicts | power at middle | power at no difference |" in text
    power = context.verdict["hypotheses"][6]["error_rates"]["by_num_seeds"][0]["power_at_middle"]
    assert f"| B.H7 | 0.010 | 3 | 0.4 % | {100 * power:.1f} % | – | – | – |" in text


@pytest.mark.parametrize(
    ("kept", "start"),
    [
        ((3,), "Held, in this rehearsal: “weighted γ=5” / “plain”: recall 0.760 → 0.760: +0 (95 % interval"),
        ((4,), "Failed, in this rehearsal: “weighted γ=5” / “plain”: recall 0.760"),
        ((2, 3), "Held, in this rehearsal: “weighted γ=5” / “plain”: recall"),
        (
            (2,),
            "Neutral, in this rehearsal: in 1 preregistered comparison the interval lies within the changes",
        ),
    ],
)
def test_the_answer_to_claims_names_what_decided(kept, start):
    report = made_up.report_settings()
    asked = [item for item in made_up.every_kind() if int(item["id"].removeprefix("B.H")) in kept]
    verdict = made_up.verdict(report, made_up.result_rows(report, "better"), asked)
    assert plain(interpretation.answer(report, verdict)).startswith(start)
    assert interpretation.STUDY_WORDS[verdict["outcome"]] in interpretation.study_paragraph(report, verdict)


def test_tables_are_means_over_seeds(tmp_path):
    text, context = rendered(tmp_path)
    results = section(text, "Results")
    for label, key in (("weighted γ=5", "arm_value"), ("plain", "comparator_value")):
        row = next(line for line in results.splitlines() if line.startswith(f"| {label} |"))
        assert all(f"| {seed[key]:.3f} |" in row for seed in context.verdict["hypotheses"][0]["seeds"])
    assert context.further_metrics == ["kd_toy", "recall"]
    values = context.main_rows("kd_toy").query("arm == 'A_plain'")["value"]
    table = tables.further_metrics_table(context)
    assert table["columns"] == ["Arm", "KD (kd_toy) ↓", "95 % interval of one run, ±", "recall ↑"]
    mean, half = values.mean(), values.mean() * 250 / 800  # as the made-up rows have it
    assert table["rows"][0][1].startswith(f"{mean:.5f} ± ") and table["rows"][0][2] == f"{half:.4f}"
    assert table["rows"][0][3].startswith("0.7600 ± 0.010")
    finite = tables.finite_sample_table(context)
    assert finite["columns"] == ["Arm", "20 samples", "40 samples", "bootstrap std. error"]
    assert finite["rows"][1] == ["weighted γ=5", "11.00", "10.00", "0.50"]
    assert as_markdown(table) in results and as_markdown(finite) in results


def test_rates_amendments_matched_compute_and_hashes_are_looked_up(tmp_path):
    text, context = rendered(tmp_path)
    for point in context.verdict["hypotheses"][0]["error_rates"]["by_num_seeds"]:
        keys = ("false_verdicts", "power_at_threshold", "power_at_twice_threshold")
        cells = " | ".join(f"{100 * point[key]:.1f} %" for key in keys)
        assert f"| {point['num_seeds']} | {cells} |" in section(text, "How often the rule errs")
    amendments = section(text, "Preregistration and amendments")
    assert "- 2001-02-03T04:05:06Z, before any results were seen: fewer steps fit (A_plain, " in amendments
    assert "A_plain, B_weighted, C_cosine: training.num_steps: 400 → 200;" in amendments
    assert amendments.count("400 → 200") == 1 and "sha256 0123456789ab → sha256 bbbbbbbbbbbb)" in amendments
    assert "| `loss.weighting` | min_snr | uniform |" in section(text, "Matched compute")
    assert "metric fd_toy in place of fid (B.H1, B.X1, B.X2)" in text
    assert "wall_s" not in text and "12.5" not in text  # cost differs between machines


def test_what_differs_between_arms_is_never_said_of_all(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    first, second, third = report["arms"]
    second["training"], third["model"] = second["training"] | {"learning_rate": 2e-3}, {"name": "unet_other"}
    report |= {"training": {"num_steps": 200, "batch_size": 8, "ema_decay": 0.99}, "model": {}}
    text = text_of(ReportContext.load(report, inputs))
    setup, arms = section(text, "Setup"), section(text, "Configurations")
    assert "unet_toy / unet_other by arm (base_channels 8 / – by arm)." in setup
    assert "batch 8, learning rate 0.001 / 0.002 by arm, EMA decay 0.99" in setup
    assert "`model.name` | `model.base_channels` |" in arms and "`training.learning_rate` |" in arms
    assert "| unet_toy | 8 | linear | min_snr | 5 | 0.002 |" in arms and "batch_size" not in arms
    assert "one network" not in text
    first["loss"] = second["loss"] = third["loss"]
    report["loss"] = first["loss"]
    assert "different weights" in text
    assert "different weights" not in text_of(ReportContext.load(report, inputs))


def derived(context: ReportContext) -> Iterator[float]:
    """Counts, means and standard deviations over seeds of all measurements, and mirrored thresholds."""
    rows = pd.DataFrame(context.results).astype({"stderr": float})
    rows["half"] = (rows["interval_high"] - rows["interval_low"]) / 2
    groups = rows.groupby(["arm", "metric", "step", "sampler", "nfe", "objective"], dropna=False)
    for statistic in (groups["value"].std(), groups[["value", "half", "stderr"]].mean().stack()):
        yield from statistic.dropna()
    for key in ("value", "stderr"):
        yield from pd.DataFrame(context.finite_samples).groupby("arm")[key].mean()
    points = pd.json_normalize(context.finite_samples, "by_num_samples", "arm")
    yield from points.groupby(["arm", "num_samples"])["value"].mean()
    hypotheses = context.verdict["hypotheses"]
    yield from (len(context.report["seeds"]), *(len(item["seeds"]) for item in hypotheses))
    for role in ("confirmatory", "exploratory"):
        yield len([item for item in hypotheses if item["role"] == role and item["interval"]])
    yield from (1 / (1 - item["threshold"]) - 1 for item in hypotheses)
    for entry in (item for item in context.power["hypotheses"] if item["spread"]):
        options = (entry["here"], entry["preregistered"], *entry["options"])
        yield from (math.expm1(option["half_width"]) for option in options if option["half_width"])


def unexplained(text: str, sources: list[float]) -> list[str]:
    """Numbers of the text that no source rounds to, as it is or as a percentage."""
    found = []
    for token in re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w])", re.sub(r"sha256 \w+|`[^`]*`", "", text)):
        value, decimals = float(token.replace(",", "")), len(token.partition(".")[2])
        half = 0.5000001 * 10**-decimals
        fits = any(abs(abs(source) * scale - value) <= half for source in sources for scale in (1, 100))
        if value not in PROTOCOL and not fits:
            found.append(token)
    return found


@pytest.mark.parametrize("outcome", ["better", "inconclusive"])
def test_every_number_of_the_text_is_in_the_results(outcome, tmp_path):
    text, context = rendered(tmp_path, outcome=outcome)
    results = [context.report, context.results, context.verdict, context.scale_marks, context.finite_samples]
    results += [context.power, made_up.gate(context.report), made_up.MANIFEST, made_up.EXTRACTOR]
    documents = str(results)
    sources = [*map(float, re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", documents)), *derived(context)]
    assert unexplained(text, sources) == []
    change = recomputed(context, "fd_toy", "B_weighted", T_97_5, sampler="ddpm", nfe=50)[0]
    shown = f"{100 * abs(change):.1f} %"
    assert shown in text
    assert unexplained(text.replace(shown, "83.7 %"), sources)  # a number from nowhere would be found


def test_numbers_follow_the_results(tmp_path):
    """Scaling every Fréchet distance by 3 changes those numbers and no other."""
    text, context = rendered(tmp_path)
    rows = [
        row | {"value": row["value"] * (3 if row["metric"] == "fd_toy" else 1)} for row in context.results
    ]
    scaled = text_of(replace(context, results=rows))
    headings = re.findall(r"\n## (.+)\n", text)
    assert headings[0] == "Verdict"
    assert [name for name in headings if section(text, name) != section(scaled, name)] == ["Results"]


def test_a_failed_arm_is_named_and_nothing_is_said_about_it(tmp_path):
    text, _ = rendered(tmp_path, arms=("A_plain", "C_cosine"))
    assert "**Missing.** “weighted γ=5” has no results, so nothing is said about it." in text
    assert "0 of 3 seeds, missing 11, 12 and 13" in paragraph(text, "B.H1")
    assert not re.search(CLAIMS, paragraph(text, "B.H1"))
    assert "**Answer.** Inconclusive" in text and "Estimates: none for FD (fd_toy)" in text


def test_one_seed_has_no_interval_and_no_claim(tmp_path):
    text, context = rendered(tmp_path, seeds=(11,))
    assert context.verdict["outcome"] == "inconclusive"
    assert "Only one seed was planned, so there is no interval and nothing can be decided." in text
    assert "mean ± sd over seeds" not in text and "one seed, so no spread" in text
    assert "No hypothesis has enough paired seeds" in text
    assert "an interval needs at least 2" in paragraph(text, "B.H1")
    for name in ("B.H1", "B.H2", "B.X1"):
        assert not re.search(CLAIMS, paragraph(text, name))


@pytest.mark.parametrize(
    ("lost", "sentences"),
    [
        (lambda row: False, []),
        (lambda row: True, ["There are no results at all."]),
        (
            lambda row: row["metric"] == "hessian_trace",
            [f"Hessian trace ({objective} objective) was not measured." for objective in ("common", "own")],
        ),
        (
            lambda row: (row["arm"], row["seed"]) == ("B_weighted", 12),
            ["“weighted γ=5” lacks seed 12 (2 of 3 seeds have results)."],
        ),
        (
            lambda row: (row["arm"], row["seed"], row.get("nfe")) == ("A_plain", 13, 50),
            ["FD (fd_toy) with DDPM, posterior variance at NFE 50 is missing for “plain” (seed 13)."],
        ),
    ],
)
def test_what_is_missing_is_named(lost, sentences):
    report = made_up.report_settings()
    rows = [row for row in map(flat, made_up.result_rows(report)) if not lost(row)]
    assert gaps(ReportContext(report, rows)) == sentences


def test_a_point_of_fewer_seeds_lacks_no_others():
    report = made_up.report_settings()
    report["points"] = [{**point, "num_seeds": 1} for point in report["points"]]
    first = report["arms"][0]["seeds"][0]
    rows = [row for row in map(flat, made_up.result_rows(report)) if row["seed"] == first or "nfe" not in row]
    assert gaps(ReportContext(report, rows)) == []
    rows = [row for row in rows if row["arm"] != "A_plain" or row.get("nfe") != 10]
    assert all(
        "at NFE 10 is missing for “plain” (seed 11)" in gap for gap in gaps(ReportContext(report, rows))
    )
    assert gaps(ReportContext(report, rows))


def test_a_diverged_run_and_collapsed_images_are_named():
    report = made_up.report_settings()
    rows = list(map(flat, made_up.result_rows(report)))
    diverged = {
        "arm": "B_weighted",
        "seed": 12,
        "metric": "diverged",
        "value": 17,
        "step": 17,
        "weights": "last",
    }
    rows = [row for row in rows if (row["arm"], row["seed"]) != ("B_weighted", 12)] + [diverged]
    for row in rows:
        named = (row["arm"], row["seed"], row["metric"], row.get("point"))
        if named == ("C_cosine", 13, "recall", "ddpm_nfe0050"):
            row["value"] = 0.3
            rows.append(row | {"metric": "lost_classes", "value": 2.0})
            break
    assert gaps(ReportContext(report, rows)) == [
        "“weighted γ=5”, seed 12, diverged at step 17; it was measured up to there.",
        "The images of “cosine, plain”, seed 13, may have collapsed: their recall is 0.30, less than half of "
        "the baselines' mean, 0.68.",
        "The images of “cosine, plain”, seed 13, may have collapsed: of 2 classes they show less than a "
        "tenth of what the real images do.",
    ]
    diverged["value"] = diverged["step"] = 0
    told = "“weighted γ=5”, seed 12, could not begin, because its shared network diverged."
    assert gaps(ReportContext(report, rows))[0] == told


def test_without_further_metrics_finite_samples_and_marks_the_text_says_so(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    rows = map(json.loads, inputs["results"][0].read_text().splitlines())
    kept = [row for row in rows if row["metric"] == "fd_toy"]
    text = text_of(ReportContext(report, list(map(flat, kept)), made_up.verdict(report, kept)))
    assert "No further metric of the samples was measured." in text
    assert "How FD (fd_toy) depends on the number of samples was not measured." in text
    assert "For scale, on the same features" not in text
    assert "Hessian trace was measured on both arms for 0 of 3 seeds" in paragraph(text, "B.H2")
    assert tables.finite_sample_table(ReportContext(report))["rows"][0] == ["plain", "–"]


def test_only_a_rehearsal_says_so_on_top_and_at_the_verdict(tmp_path):
    text, _ = rendered(tmp_path / "rehearsal")
    assert "> **REHEARSAL" in text.split("**Question.**")[0]
    assert "REHEARSAL" in section(text, "Verdict")
    text, _ = rendered(tmp_path / "real", rehearsal=False)
    assert "REHEARSAL" not in text.upper()
    assert 800 < len(text.split()) < 2600  # two to five printed pages


def test_a_pilot_says_so_wherever_a_rehearsal_would(tmp_path):
    report, inputs = made_up.write_study(tmp_path, "inconclusive")
    report |= {"pilot": True, "preset_title": "Tiny (pilot)"}
    made_up.decide_again(report, inputs, made_up.result_rows(report, "inconclusive"))
    context = ReportContext.load(report, {name: inputs[name] for name in ("results", "verdict", "power")})
    gate = made_up.gate(report)
    gate["lock"]["sha256"] = None
    words = build_summary(context, gate, made_up.MANIFEST, made_up.EXTRACTOR, TEMPLATE)
    assert words.split("**Question.**")[0].count("PILOT of S1_made_up: Tiny (pilot).") == 1
    assert "**Answer.** Inconclusive, in this pilot: " in words and "PILOT verdict" in words
    assert "A pilot needs no lock" in words and "rehearsal" not in words.lower()
    assert verdict_table(context.verdict).startswith("PILOT on preset tiny")


def test_power_and_the_seeds_that_would_settle_it_are_told(tmp_path):
    report, inputs = made_up.write_study(tmp_path, "inconclusive")
    write_json(tmp_path / "costs.json", {"seconds_per_seed": {"A_plain": {"run": 2.0, "ddpm_nfe0050": 10.0}}})
    inputs["costs"] = [tmp_path / "costs.json"]
    names = ("results", "verdict", "power", "costs")
    context = ReportContext.load(report, {name: inputs[name] for name in names})
    (entry, *_) = context.power["hypotheses"]
    assert context.verdict["hypotheses"][0]["outcome"] == "inconclusive" and entry["settled_by"] > 3
    text = text_of(context)
    assert f"With this spread, {entry['settled_by']} seeds would settle it" in paragraph(text, entry["id"])
    shown = {part[0]: part[2]["rows"] for part in sections_of(context, setting_words(report))["power"].parts}
    assert len(shown["power_parts"]) == len([item for item in context.power["hypotheses"] if item["spread"]])
    first, last = shown["power_options"][0], shown["power_options"][5]
    # 2 s of a run for each seed, and 10 s at the point for as many samples as here, 40
    assert first[2:4] == ["40", "3"] and first[-1] == duration_text(3 * 12.0)
    assert last[2:4] == ["160", str(entry["options"][3]["num_seeds"])]
    assert last[-1].value == entry["options"][3]["num_seeds"] * 42.0
    # durations differ between equal runs, so the summary, which is not given the costs, has none
    context = ReportContext.load(report, {name: inputs[name] for name in names[:-1]})
    (_, options) = sections_of(context, setting_words(report))["power"].parts
    assert "time" not in options[2]["columns"]


def test_the_seeds_that_would_settle_a_bound_are_told_in_its_own_words():
    power = {"target": 0.8, "max_seeds": 128, "hypotheses": [{"id": "H", "spread": {}, "num_seeds": 4}]}
    for test, seeds, told in (
        (
            "bound",
            9,
            "With this spread, 9 seeds would settle it, with a chance of at least 80 % whether the "
            "value lies in the middle of the bound or half its width beyond an end.",
        ),
        (
            "noninferiority",
            None,
            "More than 128 seeds would settle it, with a chance of at least 80 % whether "
            "nothing differs or the change is twice the limit.",
        ),
        ("bound", 4, "So many were run: the value seems to lie near a limit, where it takes more."),
    ):
        power["hypotheses"][0]["settled_by"] = seeds
        words = plain(interpretation._settled_by({"id": "H", "test": test}, power))
        assert told in words and ("So many" in words) is (seeds == 4)


def test_an_amendment_says_that_results_existed(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    gate = made_up.gate(report)
    gate["amendments"][0]["results_existed"] = True
    gate["preregistrations"][0] |= {"pilot": "tiny_pilot", "power": {"H1": 0.83, "H2": 0.9}}
    context = ReportContext.load(report, {name: inputs[name] for name in ("results", "verdict", "power")})
    words = build_summary(context, gate, made_up.MANIFEST, made_up.EXTRACTOR, TEMPLATE)
    told = "before any results were seen, when results of the preregistered preset existed: fewer steps fit"
    assert told in words
    assert "Planned power of B, from tiny_pilot: H1 83.0 % and H2 90.0 %." in words
    gate["preregistrations"][0] = {**gate["preregistrations"][0], "pilot": "none", "power": {}}
    words = build_summary(context, gate, made_up.MANIFEST, made_up.EXTRACTOR, TEMPLATE)
    assert "B was planned without a pilot." in words


def test_markup_from_configuration_is_literal(tmp_path):
    text, _ = rendered(tmp_path, title="<script>alert(1)</script> | [x](javascript:1)")
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert text.startswith(r"# \<script\>alert(1)\</script\> \| \[x\](javascript:1): Tiny")
    assert markdown("E1_a_b _em_ *x*") == r"E1_a_b \_em\_ \*x\*"


def test_the_step_writes_the_same_file_twice_and_names_a_missing_input(tmp_path, capsys):
    report, inputs = made_up.write_study(tmp_path)
    inputs["template"] = [TEMPLATE]
    summary = tmp_path / "summary.md"
    arguments = made_up.arguments({"report": report}, inputs, {"summary": summary})
    written = []
    for _ in range(2):
        run(write_summary.main, arguments)
        written.append(summary.read_bytes())
        summary.unlink()
    assert written[0] == written[1]
    inputs["gate"][0].unlink()
    with pytest.raises(SystemExit) as stopped:
        run(write_summary.main, arguments)
    assert stopped.value.code == 1
    assert "gate.json" in capsys.readouterr().err and not summary.exists()
