"""A study's own sections: claims with their fates, smoothness, schedules, FLOPs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.report import made_up_report as made_up
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.sections import sections_of
from workflow_scripts.report.sourced_numbers import plain
from workflow_scripts.report.summary_words import setting_words

FIRST, LAST = made_up.ARMS[0], made_up.ARMS[-1]


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> ReportContext:
    return ReportContext.load(*made_up.write_study(tmp_path_factory.mktemp("study")))


def shown(context: ReportContext, name: str, **report):
    """The rows of the section's first table, as plain text by what their first cell says."""
    context = replace(context, report=context.report | {"sections": [name]} | report)
    (section,) = sections_of(context, setting_words(context.report)).values()
    table = next(part[2] for part in section.parts if not isinstance(part, str))
    return {plain(row[0]): dict(zip(table["columns"], map(plain, row))) for row in table["rows"]}


def row_of(arm: str, metric: str, value: float, **own):
    rest = {"stderr": None, "interval_low": None, "interval_high": None, "step": 200, "weights": "last"}
    return {
        "study": "S1_made_up",
        "preset": "tiny",
        "arm": arm,
        "seed": 11,
        "metric": metric,
        "value": value,
    } | (rest | own)


def test_a_claim_has_the_fate_of_its_hypotheses_and_the_values_of_its_rows(full):
    rows = [
        {"says": ["one"], "hypotheses": ["B.H1"]},
        {"says": ["two"], "hypotheses": ["B.H1", "B.X2"]},
        {"says": ["three"], "values": {"metric": "distance", "arms": [LAST, "D_absent"]}, "fate": "explored"},
        {"says": ["four"], "signal": [FIRST, 50]},
        {"says": ["five"], "values": {"metric": "nothing", "arms": [LAST]}},
    ]
    told = {"words": "Words.", "tables": [{"caption": "Claims", "columns": ["Claim"], "rows": rows}]}
    table = shown(full, "claims", claims=told)
    outcome = full.verdict["hypotheses"][0]
    assert outcome["outcome"] == "better" and table["one"]["Fate"] == "**held**"
    assert table["one"]["Measured here"].startswith("B.H1: −20.0 %")
    assert table["two"]["Fate"] == "**held, not run here**"
    values = [row["value"] for row in full.results if row["metric"] == "fd_toy" and row["arm"] == LAST]
    assert len(values) > 3 and table["three"]["Fate"] == "explored"
    assert table["three"]["Measured here"].startswith("cosine, plain: 5.8")
    left = 1.0
    for t in range(51):
        left *= 1 - (1e-3 + 0.199 * t / 99)
    signal, noise = table["four"]["Measured here"].replace(",", "").split()[1::2]
    assert float(signal) == pytest.approx(left**0.5, abs=1e-3)
    assert float(noise) == pytest.approx((1 - left) ** 0.5, abs=1e-3)
    assert table["five"] == {"Claim": "five", "Measured here": "–", "Fate": "–"}


def test_flops_and_images_are_those_of_each_arms_own_steps(full):
    arms = [arm | ({"final_step": 600} if arm["name"] == LAST else {}) for arm in full.report["arms"]]
    counts = [
        row_of(arm, name, value, step=step)
        for arm, step, per_step in ((FIRST, 200, 30), (LAST, 600, 10))
        for name, value in (("flops_per_step", per_step), ("training_flops", per_step * step))
    ]
    table = shown(replace(full, results=counts), "matched_flops", arms=arms)
    assert table["plain"]["images seen"] == "1,600" and table["cosine, plain"]["images seen"] == "4,800"
    assert (
        table["plain"]["ratio to the first arm"]
        == table["cosine, plain"]["ratio to the first arm"]
        == "1.000"
    )


def test_the_middle_of_a_schedule_is_told(full):
    table = shown(full, "schedules")
    assert set(table) == {"linear, β 0.001 to 0.2", "cosine"}
    assert float(table["cosine"]["image, half-way"]) == pytest.approx(0.69, abs=0.01)


def test_what_was_not_measured_has_no_column(full):
    rows = [row_of(FIRST, "excess_total_variation", 0.05), row_of(LAST, "excess_total_variation", 0.5)]
    table = shown(replace(full, results=rows), "smoothness")
    assert list(table["plain"]) == ["Arm", "excess total variation"]
    assert table["cosine, plain"]["excess total variation"] == "0.5000"
