"""What the study cost, as tables: per stage all its steps together, and per training run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow_scripts.report.labels import number
from workflow_scripts.report.tables import NONE, Cell, Table, arm_names, markdown


def stage_table(costs: Mapping[str, Any]) -> Table:
    """One row per kind of step, the longest first; memory is that of the hungriest step."""
    rows = [
        [markdown(stage["stage"].replace("_", " ")), Cell(f"{stage['jobs']:,}", stage["jobs"]), _duration(stage["wall_s"]),
         _count(stage["training_steps"]), _count(stage["images"]), _hours(stage["gpu_hours"]), _rounded(stage["peak_memory_mb"])]
        for stage in costs["stages"]
    ]  # fmt: skip
    columns = ["Stage", "Steps of the pipeline", "Wall time", "Training steps", "Images", "GPU-hours", "Peak memory, MB"]
    return {"columns": columns, "rows": rows}


def total_text(costs: Mapping[str, Any]) -> str:
    """All stages together, in one sentence."""
    stages = costs["stages"]
    gpu_hours = [stage["gpu_hours"] for stage in stages if stage["gpu_hours"] is not None]
    gpu = f", {number(sum(gpu_hours), 3)} GPU-hours" if gpu_hours else ", no GPU"
    wall_s = duration_text(sum(stage["wall_s"] for stage in stages))
    return f"All together: {sum(stage['jobs'] for stage in stages):,} steps of the pipeline, {wall_s} one after another{gpu}."


def run_table(report: Mapping[str, Any], costs: Mapping[str, Any]) -> Table:
    """One row per training run that was timed."""
    names = arm_names(report)
    rows = [
        [names.get(run["arm"], markdown(run["arm"])), str(run["seed"]), *(_rounded(run[key]) for key in
         ("wall_s", "steps_per_s", "peak_memory_mb")), _count(run["num_parameters"])]
        for run in costs["runs"]
    ]  # fmt: skip
    return {"columns": ["Arm", "Seed", "Training, s", "Steps/s", "Peak memory, MB", "Parameters"], "rows": rows}


def duration_text(seconds: float) -> str:
    """A duration as people say it: 4.2 s, 12 min 5 s, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def _duration(seconds: float | None) -> str:
    return NONE if seconds is None else Cell(duration_text(seconds), seconds)


def _hours(hours: float | None) -> str:
    return NONE if hours is None else Cell(number(hours, 3), hours)


def _count(count: int | None) -> str:
    return NONE if count is None else Cell(f"{count:,}", count)


def _rounded(value: float | None) -> str:
    return NONE if value is None else Cell(number(value, 3), value)
