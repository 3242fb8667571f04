"""The page from what is left when something went wrong: it says what is missing, and claims nothing in its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report import made_up_report as made_up
from tests.unit.report.made_up_manifests import manifests
from workflow_scripts.core.files import (
    canonical_json,
    read_json_lines,
    sha256_text,
    write_json,
    write_json_lines,
)
from workflow_scripts.report.costs import collect_costs
from workflow_scripts.report.html import build_report
from workflow_scripts.study.verdict import decide

REPORTS = Path(__file__).resolve().parents[3] / "reports"


def page(report: dict, inputs: dict, root: Path, chain: list | None = None) -> str:
    """report.html without figures, which have their own tests for missing data."""
    chain = manifests(report) if chain is None else chain
    write_json(root / "costs.json", collect_costs(inputs["timings"], chain))
    templates = [REPORTS / "templates" / name for name in ("report.html.j2", "report.css", "report.js")]
    return build_report(
        report,
        {**inputs, "costs": [root / "costs.json"], "templates": templates},
        root / "report.html",
        chain,
    )


def decided_again(report: dict[str, Any], inputs: dict[str, list[Path]], rows: list[dict[str, Any]]) -> None:
    """Write other results and the verdict that the locked rule gives on them."""
    write_json_lines(inputs["results"][0], rows)
    context = {
        "study": report["study"],
        "preset": report["preset"],
        "preregistered_preset": report["preregistered_preset"],
        "rehearsal": report["rehearsal"],
        "final_step": 200,
        "metric": "fd_toy",
        "num_samples": 40,
        "num_probes": 16,
        "arms": [arm["name"] for arm in report["arms"]],
        "seeds": report["seeds"],
    }
    lines = "".join(canonical_json(row) + "\n" for row in rows)
    verdict = decide(made_up.hypotheses(report["rehearsal"]), rows, made_up.ANALYSIS, context)
    write_json(inputs["verdict"][0], verdict | {"results_sha256": sha256_text(lines)})


def table(html: str, name: str) -> list[list[str]]:
    """The rows of a table as text."""
    body = html.split(f'<table id="table-{name}"')[1].split("<tbody>")[1].split("</tbody>")[0]
    cells = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL) for row in body.split("</tr>")[:-1]
    ]
    return [[re.sub(r"<[^>]*>", "", cell).strip() for cell in row] for row in cells]


def test_a_missing_metric_is_a_dash_and_leads_nowhere(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    rows = [
        row
        for row in read_json_lines(inputs["results"][0])
        if not (row["metric"] == "hessian_trace" and row["arm"] == "B_weighted")
    ]
    decided_again(report, inputs, rows)
    html = page(report, inputs, tmp_path)
    weighted = next(row for row in table(html, "curvature") if row[0] == "weighted γ=5")
    assert weighted[1:4] == ["–", "–", "–"] and weighted[4] != "–"
    trace = next(row for row in table(html, "hypotheses") if row[0] == "B.H2")
    assert trace[5:] == ["–", "–", "inconclusive"]
    assert ["B.H2", "seeds", "3", "0; missing 11, 12, 13"] in table(html, "deviations")
    assert not re.search(r'data-from="[^"]*">–<', html)


def test_one_seed_gives_no_interval_and_no_deviation(tmp_path):
    report, inputs = made_up.write_study(tmp_path, seeds=(11,))
    html = page(report, inputs, tmp_path)
    assert 'class="verdict inconclusive"' in html
    for row in table(html, "main_result"):
        assert len(row) == 3 and "±" not in row[2]
    assert all(row[6] == "–" for row in table(html, "hypotheses"))
    assert "1 seed per arm" in html


def test_an_arm_that_failed_stays_in_every_table(tmp_path):
    report, inputs = made_up.write_study(tmp_path, arms=("A_plain", "B_weighted"))
    chain = [item for item in manifests(report) if item["lineage"]["wildcards"].get("arm") != "C_cosine"]
    html = page(report, inputs, tmp_path, chain)
    failed = next(row for row in table(html, "main_result") if row[0] == "cosine, plain")
    assert failed[1:] == ["–"] * 4
    assert ["B.X1", "seeds", "3", "0; missing 11, 12, 13"] in table(html, "deviations")
    assert {run[0] for run in table(html, "cost_by_run")} == {"plain", "weighted γ=5"}


def test_missing_figures_and_manifests_are_said(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    html = page(report, inputs, tmp_path, chain=[])
    assert "Figure not drawn: hypotheses." in html and "No manifest of a step was found" in html
    row = next(key for key in re.findall(r'data-from="(r:[^"]+)"', html))  # the result row is still known
    data = json.loads(html.split('id="data">')[1].split("</script>")[0])
    assert data["rows"][int(row[2:].split()[0])][-1] is None


@pytest.mark.parametrize("factor", [10])
def test_ten_times_the_arms_stay_one_page(tmp_path, factor):
    report, inputs = made_up.write_study(tmp_path)
    names = [f"D{number:02d}" for number in range(3 * factor - 3)]
    report["arms"] += [{**report["arms"][0], "name": name, "label": f"arm {name}"} for name in names]
    rows = read_json_lines(inputs["results"][0])
    plain = [row for row in rows if row["arm"] == "A_plain"]
    decided_again(report, inputs, rows + [{**row, "arm": name} for name in names for row in plain])
    html = page(report, inputs, tmp_path)
    assert len(table(html, "main_result")) == 3 * factor == len(table(html, "by_nfe"))
    assert len(html.encode()) < 5e6
