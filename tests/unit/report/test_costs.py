"""The cost of a study: sums per stage from what the steps measured, and gaps that are said."""

from __future__ import annotations

import pytest

from tests.unit.report import made_up_report as made_up
from tests.unit.report.made_up_manifests import manifests
from workflow_scripts.core.files import write_json
from workflow_scripts.report.costs import collect_costs, duration_text, run_table, stage_table, total_text
from workflow_scripts.report.sourced_numbers import plain


def test_stages_add_up(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    costs = collect_costs(inputs["timings"], manifests(report))
    stages = {stage.pop("stage"): stage for stage in map(dict, costs["stages"])}
    runs = 9
    assert stages["train_model"] == {
        "jobs": runs,
        "wall_s": pytest.approx(36.0 * runs),
        "training_steps": 200 * runs,
        "images": 200 * 8 * runs,
        "gpu_hours": pytest.approx(0.01 * runs),
        "peak_memory_mb": 500.0,
    }
    sampling = stages["sample_images"]
    assert sampling["images"] == 40 * 3 * runs
    assert sampling["training_steps"] is sampling["gpu_hours"] is None
    wall_s = [stage["wall_s"] for stage in costs["stages"]]
    assert wall_s == sorted(wall_s, reverse=True)
    jobs = sum(stage["jobs"] for stage in stages.values())
    total = f"In total: {jobs} pipeline steps, {duration_text(36.0 * jobs)} of step time, 0.0900 GPU-hours."
    assert plain(total_text(costs)) == total
    assert costs["machines"] == ["a CPU, 2 cores", "a CPU, 2 cores, a GPU"] and costs["missing"] == []
    assert len(costs["runs"]) == runs and costs["runs"][0]["wall_s"] == 12.5


def test_without_manifests_only_training_is_timed(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    write_json(inputs["timings"][0], {"wall_s": 1.0})
    costs = collect_costs(inputs["timings"][:1], [])
    assert "only training is timed" in costs["missing"][0] and stage_table(costs)["rows"] == []
    assert run_table(report, costs)["rows"] == [["plain", "11", "1.00", "–", "–", "–", "–"]]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.25, "4.25 s"), (59.4, "59.4 s"), (125, "2 min 5 s"), (7380, "2 h 3 min"), (3.6e6, "1,000 h 0 min")],
)
def test_durations_are_readable(seconds, text):
    assert duration_text(seconds) == text
