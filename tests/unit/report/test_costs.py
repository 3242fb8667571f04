"""What a study cost: sums per stage from what the steps measured, and honest gaps."""

from __future__ import annotations

import pytest

from tests.unit.report import made_up_report as made_up
from tests.unit.report.made_up_manifests import manifests
from workflow_scripts.core.files import write_json
from workflow_scripts.report.cost_tables import duration_text, run_table, stage_table, total_text
from workflow_scripts.report.costs import collect_costs
from workflow_scripts.report.sourced_numbers import plain


def test_stages_add_up(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    costs = collect_costs(inputs["timings"], manifests(report))
    stages = {stage["stage"]: stage for stage in costs["stages"]}
    runs = 9
    training, sampling = stages["train_model"], stages["sample_images"]
    assert training["jobs"] == runs and training["wall_s"] == pytest.approx(36.0 * runs)
    assert training["training_steps"] == 200 * runs and training["images"] == 200 * 8 * runs
    assert training["gpu_hours"] == pytest.approx(0.01 * runs) and training["peak_memory_mb"] == 500.0
    assert (
        sampling["images"] == 40 * 3 * runs
        and sampling["training_steps"] is None
        and sampling["gpu_hours"] is None
    )
    assert [stage["wall_s"] for stage in costs["stages"]] == sorted(
        (s["wall_s"] for s in costs["stages"]), reverse=True
    )
    jobs, wall_s = (
        sum(s["jobs"] for s in stages.values()),
        duration_text(36.0 * sum(s["jobs"] for s in stages.values())),
    )
    assert (
        plain(total_text(costs))
        == f"All together: {jobs} steps of the pipeline, {wall_s} one after another, 0.0900 GPU-hours."
    )
    assert costs["machines"] == ["a CPU, 2 cores", "a CPU, 2 cores, a GPU"] and costs["missing"] == []
    assert len(costs["runs"]) == runs and costs["runs"][0]["wall_s"] == 12.5


def test_without_manifests_only_training_is_timed(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    costs = collect_costs(inputs["timings"][:1], [])
    assert (
        costs["stages"] == [] and len(costs["runs"]) == 1 and "only training is timed" in costs["missing"][0]
    )
    assert stage_table(costs)["rows"] == []
    write_json(inputs["timings"][0], {"wall_s": 1.0})
    row = run_table(report, collect_costs(inputs["timings"][:1], []))["rows"][0]
    assert row == ["plain", "11", "1.00", "–", "–", "–"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.25, "4.25 s"),
        (59.4, "59.4 s"),
        (125.0, "2 min 5 s"),
        (7380, "2 h 3 min"),
        (3_600_000, "1,000 h 0 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds, text):
    assert duration_text(seconds) == text
