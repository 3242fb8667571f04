"""The summary's words against its numbers, for each outcome and for broken input; everything is computed here again."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.report import made_up_report as made_up
from workflow_scripts.report import interpretation
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.gaps import gaps
from workflow_scripts.report.sourced_numbers import plain
from workflow_scripts.report.summary import build_summary

TEMPLATE = Path(__file__).resolve().parents[3] / "reports" / "templates" / "summary.md.j2"
# Student's t, 2 degrees of freedom, from a printed table: two-sided 95 %, and 97.5 % (two hypotheses by Bonferroni).
T_95, T_97_5 = 4.302653, 6.205347
OUTCOMES = ("better", "worse", "neutral", "inconclusive")
# Words that claim a change, in the text about one hypothesis.
CLAIMS = (
    r"\b(better|worse|improve\w*|reaches the threshold, and|excludes zero|increases only|decreases only)\b"
)


def rendered(root: Path, **choices) -> tuple[str, ReportContext, list[Any]]:
    report, inputs = made_up.write_study(root, **choices)
    context = ReportContext.load(report, inputs)
    documents = [made_up.gate(report), made_up.MANIFEST, made_up.EXTRACTOR]
    return build_summary(context, *documents, TEMPLATE), context, documents


def paragraph(text: str, hypothesis: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"**{hypothesis}** ("))


def recomputed(
    context: ReportContext, metric: str, arm: str, t: float, **identity
) -> tuple[float, float, float]:
    """Relative change against A_plain with its t interval, from the result rows alone."""
    value = {
        (row["arm"], row["seed"]): row["value"]
        for row in context.results
        if row["metric"] == metric
        and row["step"] == 200
        and all(row[key] == wanted for key, wanted in identity.items())
    }
    logs = [math.log(value[arm, seed] / value["A_plain", seed]) for seed in context.report["seeds"]]
    mean = sum(logs) / len(logs)
    half = t * math.sqrt(sum((log - mean) ** 2 for log in logs) / (len(logs) - 1) / len(logs))
    return tuple(math.expm1(end) for end in (mean, mean - half, mean + half))


def percent(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %".replace("-", "−")


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_words_and_numbers_are_those_of_the_rows(outcome, tmp_path):
    text, context, _ = rendered(tmp_path, outcome=outcome)
    for name, metric, t, identity in (
        ("B.H1", "fd_toy", T_97_5, {"sampler": "ddpm", "nfe": 50}),
        ("B.H2", "hessian_trace", T_97_5, {"objective": "common"}),
        ("B.X1", "fd_toy", T_95, {"sampler": "ddpm", "nfe": 50}),
    ):
        arm = "C_cosine" if name == "B.X1" else "B_weighted"
        change, low, high = recomputed(context, metric, arm, t, **identity)
        words = paragraph(text, name)
        assert f"interval {percent(low)} to {percent(high)}" in words
        assert f"{100 * abs(change):.1f} % {'lower' if change < 0 else 'higher'} than" in words
        if low <= 0 <= high:
            assert not re.search(CLAIMS, words)
        else:
            assert "zero change," not in words and "holds zero" not in words
    answer = next(line for line in text.splitlines() if line.startswith("**Answer.**"))
    change, low, high = recomputed(context, "fd_toy", "B_weighted", T_97_5, sampler="ddpm", nfe=50)
    assert answer.startswith(f"**Answer.** {outcome.capitalize()}, in this rehearsal:")
    other = {"better": "higher", "worse": "lower"}.get(outcome)
    if other:
        assert (
            f"97.5 % interval {percent(low)} to {percent(high)}" in answer and f" {other} than" not in answer
        )
    else:
        assert not re.search(r"\b(lower|higher|better|worse|improve\w*)\b", answer)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=3), st.sampled_from([0.02, 0.07, 0.3]))
def test_no_interval_with_zero_inside_is_ever_called_a_change(differences, threshold):
    """Over all that three seeds can give: the sentence claims a change exactly when the interval leaves zero out."""
    from workflow_scripts.study import rule

    array = np.array(differences)
    if array.std() < 1e-6:
        return
    mean, low, high = (math.expm1(end) for end in rule.t_interval(array, 0.95))
    outcome = str(rule.decide_outcomes(array, 0.95, rule.log_margin(threshold)))
    item = {
        "id": "B.H1",
        "role": "confirmatory",
        "arm": "B_weighted",
        "comparator": "A_plain",
        "threshold": threshold,
        "metric_used": {"metric": "fd_toy"},
        "outcome": outcome,
        "relative_change": mean,
        "interval": [low, high],
        "confidence": 0.95,
        "reason": "",
        "direction": "lower",
    }
    words = plain(interpretation.hypothesis_paragraph(made_up.report_settings(), item))
    assert bool(re.search(CLAIMS, words)) == (not low <= 0 <= high), words
    assert f"{'lower' if mean < 0 else 'higher'} than" in words
    if "Every value inside the interval exceeds" in words:
        margin = -math.log(1 - threshold)
        assert math.log1p(high) <= -margin or math.log1p(low) >= margin


def numbers_in(value: Any) -> Iterator[float]:
    """Every number of nested documents, also those inside texts."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers_in([key, item])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from numbers_in(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)
    elif isinstance(value, str):
        yield from (float(found) for found in re.findall(r"\d+(?:\.\d+)?", value))


def derived(context: ReportContext) -> Iterator[float]:
    """Means and standard deviations over seeds of everything measured, and the mirrored thresholds."""
    groups: dict[tuple, list[dict]] = {}
    for row in context.results:
        groups.setdefault(
            (row["arm"], row["metric"], row["step"], row["sampler"], row["nfe"], row["objective"]), []
        ).append(row)
    for rows in groups.values():
        values = [row["value"] for row in rows]
        yield from (np.mean(values), np.std(values, ddof=1))
        if rows[0]["interval_low"] is not None:
            yield np.mean([(row["interval_high"] - row["interval_low"]) / 2 for row in rows])
        elif rows[0]["stderr"] is not None:
            yield np.mean([row["stderr"] for row in rows])
    for arm in {item["arm"] for item in context.finite_samples}:
        mine = [item for item in context.finite_samples if item["arm"] == arm]
        for index in range(len(mine[0]["by_num_samples"])):
            yield np.mean([item["by_num_samples"][index]["value"] for item in mine])
    for hypothesis in context.verdict["hypotheses"]:
        yield 1 / (1 - hypothesis["threshold"]) - 1
        for side in ("arm_value", "comparator_value"):
            values = [seed[side] for seed in hypothesis["seeds"]]
            yield from [math.exp(np.mean(np.log(values)))] if values else []


# Numbers of the protocol, which the text explains: 1.96 and its 95 %, the metrics' neighbours and subsets, hash names.
PROTOCOL = {1.96, 95, 3, 100, 256}


def unexplained(text: str, sources: list[float]) -> list[str]:
    """Numbers of the text that no source rounds to, as it stands or as a percentage."""
    found = []
    for token in re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w])", re.sub(r"sha256 \w+|`[^`]*`", "", text)):
        value, decimals = float(token.replace(",", "")), len(token.partition(".")[2])
        if value in PROTOCOL:
            continue
        half = 0.5000001 * 10**-decimals
        if not any(abs(abs(source) * scale - value) <= half for source in sources for scale in (1, 100)):
            found.append(token)
    return found


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_number_of_the_text_is_in_the_results(outcome, tmp_path):
    text, context, documents = rendered(tmp_path, outcome=outcome)
    sources = list(
        numbers_in(
            [
                context.report,
                context.results,
                context.verdict,
                context.scale_marks,
                context.finite_samples,
                documents,
            ]
        )
    )
    sources += [
        len(context.report["seeds"]),
        *(len(item["seeds"]) for item in context.verdict["hypotheses"]),
        *derived(context),
    ]
    sources += [
        len([item for item in context.verdict["hypotheses"] if item["role"] == role and item["interval"]])
        for role in ("confirmatory", "exploratory")
    ]
    assert unexplained(text, sources) == []
    change = recomputed(context, "fd_toy", "B_weighted", T_97_5, sampler="ddpm", nfe=50)[0]
    shown = f"{100 * abs(change):.1f} %"
    assert shown in text
    assert unexplained(text.replace(shown, "83.7 %"), sources)  # a number from nowhere would be found


def test_a_failed_arm_is_named_and_nothing_is_said_about_it(tmp_path):
    text, _, _ = rendered(tmp_path, arms=("A_plain", "C_cosine"))
    assert "**Missing.** No result of “weighted γ=5”: nothing is said about it." in text
    assert "0 of 3 seeds, missing 11, 12 and 13" in paragraph(text, "B.H1")
    assert not re.search(CLAIMS, paragraph(text, "B.H1"))
    assert "**Answer.** Inconclusive" in text and "There is no estimate for FD (fd_toy)" in text


def test_one_seed_has_no_interval_and_no_claim(tmp_path):
    text, _, _ = rendered(tmp_path, seeds=(11,))
    assert "Only one seed was planned, so there is no interval and nothing can be decided." in text
    assert "mean ± sd over seeds" not in text and "one seed, hence no spread" in text
    for name in ("B.H1", "B.H2", "B.X1"):
        assert not re.search(CLAIMS, paragraph(text, name))


def test_a_missing_metric_a_missing_seed_and_a_missing_point_are_each_named():
    report = made_up.report_settings()
    rows = made_up.result_rows(report)
    context = ReportContext(report, [row for row in rows if row["metric"] != "hessian_trace"])
    assert gaps(context) == [
        f"Hessian trace ({objective} objective) was not measured." for objective in ("common", "own")
    ]
    context = ReportContext(report, [row for row in rows if (row["arm"], row["seed"]) != ("B_weighted", 12)])
    assert gaps(context) == ["“weighted γ=5” lacks seed 12 (2 of 3 seeds have results)."]
    context = ReportContext(
        report, [row for row in rows if (row["arm"], row["seed"], row["nfe"]) != ("A_plain", 13, 50)]
    )
    assert gaps(context) == [
        "FD (fd_toy) with DDPM, posterior variance at NFE 50 is missing for “plain” (seed 13)."
    ]
    assert gaps(ReportContext(report, rows)) == []
    assert gaps(ReportContext(report, [])) == ["There are no results at all."]


def test_without_further_metrics_finite_samples_and_marks_the_text_says_so(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    kept = [
        row
        for row in map(json.loads, inputs["results"][0].read_text().splitlines())
        if row["metric"] == "fd_toy"
    ]
    context = ReportContext(report, kept, made_up.verdict(report, kept))
    text = build_summary(context, made_up.gate(report), made_up.MANIFEST, made_up.EXTRACTOR, TEMPLATE)
    for sentence in (
        "No further metric of the samples was measured.",
        "is due to the number of samples was not measured.",
        "Hessian trace (common objective) was not measured.",
        "**Missing.**",
    ):
        assert sentence in text
    assert "For scale, on the same features" not in text
    assert "Hessian trace was measured on both arms for 0 of 3 seeds" in paragraph(text, "B.H2")


def test_neutral_excludes_no_more_than_the_interval_does():
    """A threshold of 7 % allows +7.4 % upwards, so it must not be said that changes as large as 7 % are excluded."""
    report = made_up.report_settings()
    verdict = made_up.verdict(report, made_up.result_rows(report, "neutral"))
    item = verdict["hypotheses"][0] | {
        "interval": [-0.06, 0.074],
        "relative_change": 0.005,
        "outcome": "neutral",
    }
    verdict["hypotheses"] = [item]
    assert round(100 * (1 / 0.93 - 1), 1) == 7.5
    assert "too small to count (−7.0 % to +7.5 %)" in plain(interpretation.answer(report, verdict))
    assert "lies between −7.0 % and +7.5 %" in plain(interpretation.hypothesis_paragraph(report, item))
    for words in (interpretation.answer(report, verdict), interpretation.hypothesis_paragraph(report, item)):
        assert "as large as" not in words


def test_ten_times_the_arms_keep_the_answer_short():
    """Thirty confirmatory hypotheses that came out better: three are spelt out, the others counted."""
    report = made_up.report_settings()
    verdict = made_up.verdict(report, made_up.result_rows(report, "better"))
    first = verdict["hypotheses"][0]
    verdict["hypotheses"] = [first | {"id": f"B.H{number}"} for number in range(30)]
    answer = plain(interpretation.answer(report, verdict))
    assert "and 27 more that the table lists" in answer and len(answer) < 900
    verdict |= {"outcome": "inconclusive"}
    verdict["hypotheses"] = [item | {"outcome": "inconclusive"} for item in verdict["hypotheses"]]
    assert "the table lists 27 more" in plain(interpretation.answer(report, verdict))
