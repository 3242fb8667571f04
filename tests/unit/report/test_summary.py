"""summary.md says what the numbers say, for each outcome; every number in it is one of the results; markup is escaped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.report import made_up_report as made_up
from workflow_scripts.core.files import read_json
from workflow_scripts.core.step import run
from workflow_scripts.report import interpretation, tables
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.sourced_numbers import plain
from workflow_scripts.report.summary import build_summary
from workflow_scripts.report.tables import as_markdown, markdown
from workflow_scripts.steps import write_summary

TEMPLATE = Path(__file__).resolve().parents[3] / "reports" / "templates" / "summary.md.j2"


def summary_of(root: Path, **choices) -> tuple[str, dict]:
    report, inputs = made_up.write_study(root, **choices)
    context = ReportContext.load(report, inputs)
    text = build_summary(context, made_up.gate(report), made_up.MANIFEST, made_up.EXTRACTOR, TEMPLATE)
    return text, context.verdict


def section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def paragraph(text: str, hypothesis: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"**{hypothesis}** ("))


def signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %".replace("-", "−")


@pytest.mark.parametrize(
    ("outcome", "lead", "must_say", "must_not_say"),
    [
        (
            "better",
            "Better, in this rehearsal:",
            ["better: ", "lower than", "excludes zero change"],
            ["worse", "excluded"],
        ),
        (
            "worse",
            "Worse, in this rehearsal:",
            ["worse: ", "higher than", "excludes zero change"],
            ["better", "excluded"],
        ),
        (
            "neutral",
            "Neutral, in this rehearsal:",
            ["neutral: the estimate", "smaller ones are not"],
            ["better", "worse", "reaches the threshold"],
        ),
        (
            "inconclusive",
            "Inconclusive, in this rehearsal:",
            ["inconclusive: ", "none of these can be excluded"],
            ["better", "worse", "reaches the threshold", "smaller ones are not"],
        ),
    ],
)
def test_words_follow_the_outcome_and_numbers_the_verdict(outcome, lead, must_say, must_not_say, tmp_path):
    text, verdict = summary_of(tmp_path, outcome=outcome)
    assert verdict["outcome"] == outcome  # the made-up numbers do what their name says
    assert f"**Answer.** {lead}" in text
    first = verdict["hypotheses"][0]
    words = paragraph(section(text, "Interpretation"), "B.H1")
    for phrase in must_say:
        assert phrase in words
    for phrase in must_not_say:
        assert phrase not in words
    low, high = first["interval"]
    assert f"{signed(low)} to {signed(high)}" in words
    assert f"{100 * abs(first['relative_change']):.1f} %" in words
    row = next(line for line in section(text, "Verdict").splitlines() if line.startswith("| B.H1 |"))
    assert f"| {signed(first['relative_change'])} |" in row and f"{signed(low)} to {signed(high)}" in row


def test_an_effect_is_not_called_larger_than_the_threshold_when_the_interval_says_otherwise():
    report = made_up.report_settings()
    item = {
        "id": "B.H1",
        "role": "confirmatory",
        "arm": "B_weighted",
        "comparator": "A_plain",
        "threshold": 0.07,
        "metric_used": {"metric": "fd_toy"},
        "outcome": "better",
        "relative_change": -0.09,
        "confidence": 0.95,
        "reason": "",
        "direction": "lower",
    }
    narrow = plain(interpretation.hypothesis_paragraph(report, item | {"interval": [-0.10, -0.08]}))
    wide = plain(interpretation.hypothesis_paragraph(report, item | {"interval": [-0.15, -0.02]}))
    assert "Every value inside the interval exceeds the threshold." in narrow
    assert "also holds changes smaller than the threshold" in wide


@pytest.mark.parametrize(
    ("interval", "phrase"),
    [
        ([-0.06, -0.01], "The interval holds decreases only, but the estimate does not reach −7.0 %"),
        ([0.01, 0.06], "The interval holds increases only, but the estimate does not reach +7.5 %"),
        ([-0.20, 0.01], "The interval holds zero change and a decrease beyond −7.0 %:"),
        ([-0.01, 0.20], "The interval holds zero change and an increase beyond +7.5 %:"),
    ],
)
def test_an_open_question_names_what_the_interval_leaves_open(interval, phrase):
    report = made_up.report_settings()
    item = {
        "id": "B.H1",
        "role": "confirmatory",
        "arm": "B_weighted",
        "comparator": "A_plain",
        "threshold": 0.07,
        "metric_used": {"metric": "fd_toy"},
        "outcome": "inconclusive",
        "relative_change": 0.0,
        "confidence": 0.95,
        "reason": "",
        "interval": interval,
    }
    assert phrase in plain(interpretation.hypothesis_paragraph(report, item))


def test_opposite_results_give_the_study_no_direction(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    verdict = read_json(inputs["verdict"][0])
    verdict["hypotheses"][1] |= {"outcome": "worse", "relative_change": 0.2, "interval": [0.1, 0.3]}
    verdict["outcome"] = "inconclusive"
    assert "opposite directions" in plain(interpretation.study_paragraph(report, verdict))
    assert "1 better and 1 worse" in plain(interpretation.answer(report, verdict))


def test_every_seed_of_the_main_metric_is_listed(tmp_path):
    text, verdict = summary_of(tmp_path)
    rows = section(text, "Results").splitlines()
    for label, key in (("weighted γ=5", "arm_value"), ("plain", "comparator_value")):
        row = next(line for line in rows if line.startswith(f"| {label} |"))
        for seed in verdict["hypotheses"][0]["seeds"]:
            assert f"| {seed[key]:.3f} |" in row


def test_further_metrics_and_finite_samples_are_means_over_seeds(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    context = ReportContext.load(report, inputs)
    assert context.further_metrics == ["kd_toy", "recall"]
    values = context.main_rows("kd_toy").query("arm == 'A_plain'")
    table = tables.further_metrics_table(context)
    assert table["columns"] == ["Arm", r"KD (kd_toy)", "one run's 95 % interval, ±", "recall"]
    mean, half = values["value"].mean(), values["value"].mean() * 250 / 800  # as the made-up rows have it
    assert table["rows"][0][1].startswith(f"{mean:.5f} ± ") and table["rows"][0][2] == f"{half:.4f}"
    assert table["rows"][0][3].startswith("0.7600 ± 0.010")
    finite = tables.finite_sample_table(context)
    assert finite["columns"] == ["Arm", "20 samples", "40 samples", "bootstrap std. error"]
    assert finite["rows"][1] == ["weighted γ=5", "11.00", "10.00", "0.50"]
    results = section(summary_of(tmp_path)[0], "Results")
    assert as_markdown(table) in results and as_markdown(finite) in results


def test_without_further_results_the_tables_are_empty_and_stand():
    context = ReportContext(made_up.report_settings())
    assert tables.further_metrics_table(context)["columns"] == ["Arm"]
    assert tables.finite_sample_table(context)["rows"][0] == ["plain", "–"]


def test_rates_amendments_matched_compute_and_hashes_are_looked_up(tmp_path):
    text, verdict = summary_of(tmp_path)
    for point in verdict["hypotheses"][0]["error_rates"]["by_num_seeds"]:
        cells = [
            f"{100 * point[key]:.1f} %"
            for key in ("false_verdicts", "power_at_threshold", "power_at_twice_threshold")
        ]
        assert f"| {point['num_seeds']} | {' | '.join(cells)} |" in section(text, "How often the rule errs")
    amendments = section(text, "Preregistration and amendments")
    assert (
        "- 2001-02-03T04:05:06Z, no results had been seen: fewer steps fit (A_plain, B_weighted, C_cosine: training.num_steps: "
        in (amendments)
    )
    assert amendments.count("400 → 200") == 1 and "sha256 0123456789ab → sha256 bbbbbbbbbbbb)" in amendments
    assert "| `loss.weighting` | min_snr | uniform |" in section(text, "Matched compute")
    assert "metric fd_toy in place of fid (B.H1, B.X1, B.X2)" in text
    assert (
        "wall_s" not in text and "12.5" not in text
    )  # cost differs between machines and stays out of the summary


def test_numbers_follow_the_results_and_none_is_typed(tmp_path):
    """Scaling every Fréchet distance by 3 changes those numbers and no other."""
    report, inputs = made_up.write_study(tmp_path)
    context = ReportContext.load(report, inputs)
    rows = [
        row | {"value": row["value"] * 3} if row["metric"] == "fd_toy" else row for row in context.results
    ]
    scaled = ReportContext(report, rows, context.verdict, context.scale_marks)
    texts = [
        build_summary(c, made_up.gate(report), made_up.MANIFEST, made_up.EXTRACTOR, TEMPLATE)
        for c in (context, scaled)
    ]
    headings = re.findall(r"\n## (.+)\n", texts[0])
    changed = [heading for heading in headings if section(texts[0], heading) != section(texts[1], heading)]
    assert changed == ["Results"]


def test_a_rehearsal_says_so_on_top_and_at_the_verdict_and_nothing_else_does(tmp_path):
    text, _ = summary_of(tmp_path / "rehearsal")
    assert "> **REHEARSAL" in text.split("**Question.**")[0]
    assert "REHEARSAL" in section(text, "Verdict")
    text, _ = summary_of(tmp_path / "real", rehearsal=False)
    assert "REHEARSAL" not in text.upper()


def test_one_seed_gives_no_interval_and_no_claim(tmp_path):
    text, verdict = summary_of(tmp_path, seeds=(11,))
    assert verdict["outcome"] == "inconclusive"
    assert "No hypothesis has enough paired seeds" in text
    assert "an interval needs at least 2" in paragraph(text, "B.H1")


def test_markup_from_configuration_is_literal(tmp_path):
    text, _ = summary_of(tmp_path, title="<script>alert(1)</script> | [x](javascript:1)")
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert text.startswith(r"# \<script\>alert(1)\</script\> \| \[x\](javascript:1): Tiny")
    assert markdown("E1_a_b _em_ *x*") == r"E1_a_b \_em\_ \*x\*"


def test_length_and_sections(tmp_path):
    text, _ = summary_of(tmp_path)
    assert 800 < len(text.split()) < 2000  # two to four printed pages
    assert re.findall(r"\n## (.+)\n", text)[0] == "Verdict"


def test_entry_point_writes_the_same_file_twice_and_names_a_missing_input(tmp_path, capsys):
    report, inputs = made_up.write_study(tmp_path)
    inputs["template"] = [TEMPLATE]
    written = []
    for _ in range(2):
        with_output = made_up.arguments({"report": report}, inputs, {"summary": tmp_path / "summary.md"})
        run(write_summary.main, with_output)
        written.append((tmp_path / "summary.md").read_bytes())
    assert written[0] == written[1]
    (tmp_path / "summary.md").unlink()
    inputs["gate"] = [tmp_path / "absent.json"]
    with pytest.raises(SystemExit) as stopped:
        run(
            write_summary.main,
            made_up.arguments({"report": report}, inputs, {"summary": tmp_path / "summary.md"}),
        )
    assert stopped.value.code == 1
    assert "absent.json" in capsys.readouterr().err
    assert not (tmp_path / "summary.md").exists()
