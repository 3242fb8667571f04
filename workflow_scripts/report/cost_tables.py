"""What the study cost, as tables: per stage all its steps together, and per training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from workflow_scripts.report.labels import number
from workflow_scripts.report.sourced_numbers import source_numbers
from workflow_scripts.report.tables import NONE, Cell, Table, arm_names, markdown


def stage_table(costs: Mapping[str, Any]) -> Table:
    """One row per kind of step, the longest first; memory is that of the hungriest step."""
    rows = [
        [
            markdown(stage["stage"].replace("_", " ")),
            *(
                _cell(text, stage[key], f"cost/{stage['stage']}")
                for key, text in (
                    ("jobs", _count),
                    ("wall_s", duration_text),
                    ("training_steps", _count),
                    ("images", _count),
                    ("gpu_hours", _rounded),
                    ("peak_memory_mb", _rounded),
                )
            ),
        ]
        for stage in costs["stages"]
    ]
    columns = [
        "Stage",
        "Steps of the pipeline",
        "Wall time",
        "Training steps",
        "Images",
        "GPU-hours",
        "Peak memory, MB",
    ]
    return {"columns": columns, "rows": rows}


def total_text(costs: Mapping[str, Any]) -> str:
    """All stages together, in one sentence; its numbers are marked with their origin."""
    stages = costs["stages"]
    gpu_hours = [stage["gpu_hours"] for stage in stages if stage["gpu_hours"] is not None]
    gpu = f", {number(sum(gpu_hours), 3)} GPU-hours" if gpu_hours else ", no GPU"
    wall_s = duration_text(sum(stage["wall_s"] for stage in stages))
    jobs = sum(stage["jobs"] for stage in stages)
    return source_numbers(
        f"All together: {jobs:,} steps of the pipeline, {wall_s} one after another{gpu}.", "costs"
    )


def run_table(report: Mapping[str, Any], costs: Mapping[str, Any]) -> Table:
    """One row per training run that was timed."""
    names = arm_names(report)
    rows = [
        [
            names.get(run["arm"], markdown(run["arm"])),
            *(
                _cell(text, run[key], f"run/{run['arm']}/{run['seed']}")
                for key, text in (
                    ("seed", str),
                    ("wall_s", _rounded),
                    ("steps_per_s", _rounded),
                    ("peak_memory_mb", _rounded),
                    ("num_parameters", _count),
                )
            ),
        ]
        for run in costs["runs"]
    ]
    return {
        "columns": ["Arm", "Seed", "Training, s", "Steps/s", "Peak memory, MB", "Parameters"],
        "rows": rows,
    }


def duration_text(seconds: float) -> str:
    """A duration as people say it: 4.2 s, 12 min 5 s, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def _cell(text: Callable[[Any], str], value: float | None, origin: str) -> str:
    return NONE if value is None else Cell(text(value), value, of=[origin])


def _count(count: int) -> str:
    return f"{count:,}"


def _rounded(value: float) -> str:
    return number(value, 3)
