"""Numbers in sentences lead to the hypothesis they belong to, and only those do."""

from __future__ import annotations

import re

from tests.unit.report import made_up_report as made_up
from workflow_scripts.report import interpretation
from workflow_scripts.report.html_tables import inline_html
from workflow_scripts.report.linked_numbers import link_numbers


def verdict_of(outcome: str = "better") -> tuple[dict, dict]:
    report = made_up.report_settings()
    return report, made_up.verdict(report, made_up.result_rows(report, outcome))


def test_change_and_interval_of_the_answer_are_linked():
    report, verdict = verdict_of()
    html = link_numbers(inline_html(interpretation.answer(report, verdict)), verdict)
    linked = re.findall(r'<button type="button" class="n" data-from="h:([^"]+)">([^<]+)</button>', html)
    first = verdict["hypotheses"][0]
    assert ("20.0 %" in [text for _, text in linked]) and all("B.H1" in ids.split() for ids, text in linked if text == "20.0 %")
    low = f"{100 * first['interval'][0]:.1f} %".replace("-", "−")
    assert low in [text for _, text in linked]
    assert re.sub(r"</?button[^>]*>", "", html) == inline_html(interpretation.answer(report, verdict))  # only buttons added


def test_thresholds_tags_and_foreign_numbers_are_left_alone():
    _, verdict = verdict_of()
    text = '<a title="20.0 %">at least 7.0 %</a> or 99.9 %'
    assert link_numbers(text, verdict) == text


def test_a_number_of_two_hypotheses_names_both():
    _, verdict = verdict_of()
    for item in verdict["hypotheses"][:2]:
        item["relative_change"] = -0.123
    assert 'data-from="h:B.H1 B.H2">−12.3 %<' in link_numbers("fell by −12.3 %", verdict)


def test_means_of_a_comparison_are_linked():
    _, verdict = verdict_of()
    item = verdict["hypotheses"][0]
    means = re.search(r"[\d.]+ → [\d.]+", item["reason"])[0]
    assert f'>{means}</button>' in link_numbers(item["reason"], verdict)
