"""What a study cost: collected from manifests and the runs' timing.json, and shown as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.core.files import read_json
from workflow_scripts.report.context import arm_and_seed
from workflow_scripts.report.labels import number
from workflow_scripts.report.sourced_numbers import source_numbers
from workflow_scripts.report.tables import NONE, Cell, Table, arm_names, markdown

TIMED = ("wall_s", "steps_per_s", "peak_memory_mb", "num_parameters", "tables_ms")


def collect_costs(timings: Sequence[Path], manifests: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Collect the content of costs.json.

        {"stages": [{"stage", "jobs", "wall_s", "training_steps", "images", "gpu_hours", "peak_memory_mb"}],
         "runs": [{"arm", "seed", "wall_s", "steps_per_s", "peak_memory_mb", "num_parameters", "tables_ms"}],
         "seconds_per_seed": as the function, "machines": ["CPU, cores, GPUs"], "missing": ["sentence"]}

    A stage is one entry point. Its `wall_s` adds up its steps even if they ran in parallel; `gpu_hours` is
    that time on machines with a GPU, or null. A step kept from an earlier run counts with its cost then.
    """
    kept = list(manifests)
    stages: dict[str, dict[str, Any]] = {}
    for manifest in kept:
        _add(stages, manifest)
    machines = {_machine(manifest["circumstances"].get("machine") or {}) for manifest in kept}
    return {
        "stages": sorted(stages.values(), key=lambda stage: -stage["wall_s"]),
        "runs": [_run(path) for path in sorted(timings)],
        "seconds_per_seed": seconds_per_seed(kept),
        "machines": sorted(machines - {""}),
        "missing": [] if kept else ["No step manifests were found, so only training is timed."],
    }


def seconds_per_seed(manifests: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean seconds of one run by arm, at each point, and under `run` of all steps that are at no point."""
    seconds: dict[str, dict[str, float]] = {}
    seeds: dict[str, set[str]] = {}
    for manifest in manifests:
        wildcards = manifest["lineage"]["wildcards"]
        if {"arm", "seed"} <= wildcards.keys():
            arm, where = wildcards["arm"], wildcards.get("point", "run")
            seeds.setdefault(arm, set()).add(wildcards["seed"])
            own = seconds.setdefault(arm, {})
            own[where] = own.get(where, 0.0) + (manifest["circumstances"].get("wall_s") or 0.0)
    return {
        arm: {where: wall_s / len(seeds[arm]) for where, wall_s in own.items()}
        for arm, own in seconds.items()
    }


def _add(stages: dict[str, dict[str, Any]], manifest: Mapping[str, Any]) -> None:
    lineage, measured = manifest["lineage"], manifest["circumstances"]
    empty = dict.fromkeys(("training_steps", "images", "gpu_hours", "peak_memory_mb"))
    stage = stages.setdefault(
        lineage["entry"], {"stage": lineage["entry"], "jobs": 0, "wall_s": 0.0, **empty}
    )
    wall_s, memory = measured.get("wall_s") or 0.0, measured.get("peak_memory_mb")
    stage["jobs"] += 1
    stage["wall_s"] += wall_s
    if memory is not None:
        stage["peak_memory_mb"] = max(memory, stage["peak_memory_mb"] or 0.0)
    if (measured.get("machine") or {}).get("gpu"):
        stage["gpu_hours"] = (stage["gpu_hours"] or 0.0) + wall_s / 3600
    for key, amount in _work(lineage["settings"], lineage["entry"]).items():
        stage[key] = (stage[key] or 0) + amount


def _work(settings: Mapping[str, Any], entry: str) -> dict[str, int]:
    """Training steps and images of one pipeline step, from its settings."""
    if entry in ("sample_images", "judge_checkpoints", "present_samples"):
        return {"images": settings["num_samples"] * len(settings.get("steps", [None]))}
    training = settings.get({"train_model": "training", "train_extractor": "extractor"}.get(entry), {})
    if "num_steps" not in training:
        return {}
    num_steps = training["num_steps"]
    return {"training_steps": num_steps, "images": num_steps * training["batch_size"]}


def _run(path: Path) -> dict[str, Any]:
    arm, seed = arm_and_seed(path)
    timing = read_json(path)
    return {"arm": arm, "seed": seed, **{key: timing.get(key) for key in TIMED}}


def _machine(machine: Mapping[str, Any]) -> str:
    cores = machine.get("cores")
    parts = [machine.get("cpu"), f"{cores} cores" if cores else None, *(machine.get("gpu") or [])]
    return ", ".join(filter(None, parts))


def stage_table(costs: Mapping[str, Any]) -> Table:
    """One row per entry point, the longest first; memory is the largest of any one step."""
    columns = {
        "jobs": ("Pipeline steps", _count),
        "wall_s": ("Wall time", duration_text),
        "training_steps": ("Training steps", _count),
        "images": ("Images", _count),
        "gpu_hours": ("GPU-hours", _rounded),
        "peak_memory_mb": ("Peak memory, MB", _rounded),
    }
    rows = [
        [
            markdown(stage["stage"].replace("_", " ")),
            *(_cell(text, stage[key], f"cost/{stage['stage']}") for key, (_, text) in columns.items()),
        ]
        for stage in costs["stages"]
    ]
    return {"columns": ["Stage", *(title for title, _ in columns.values())], "rows": rows}


def total_text(costs: Mapping[str, Any]) -> str:
    """The total over all stages as a sentence in which numbers are marked with their origin."""
    stages = costs["stages"]
    gpu_hours = [stage["gpu_hours"] for stage in stages if stage["gpu_hours"] is not None]
    gpu = f"{number(sum(gpu_hours), 3)} GPU-hours" if gpu_hours else "no GPU"
    wall_s = duration_text(sum(stage["wall_s"] for stage in stages))
    jobs = sum(stage["jobs"] for stage in stages)
    return source_numbers(f"In total: {jobs:,} pipeline steps, {wall_s} of step time, {gpu}.", "costs")


def run_table(report: Mapping[str, Any], costs: Mapping[str, Any]) -> Table:
    """One row per timed training run."""
    columns = {
        "seed": ("Seed", str),
        "wall_s": ("Training, s", _rounded),
        "steps_per_s": ("Steps/s", _rounded),
        "peak_memory_mb": ("Peak memory, MB", _rounded),
        "num_parameters": ("Parameters", _count),
        "tables_ms": ("Making the schedule's tables, ms", _rounded),
    }
    names = arm_names(report)
    rows = [
        [
            names.get(run["arm"], markdown(run["arm"])),
            *(_cell(text, run[key], f"run/{run['arm']}/{run['seed']}") for key, (_, text) in columns.items()),
        ]
        for run in costs["runs"]
    ]
    return {"columns": ["Arm", *(title for title, _ in columns.values())], "rows": rows}


def duration_text(seconds: float) -> str:
    """A duration for reading: 4.2 s, 12 min 5 s, 3 h 20 min."""
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
