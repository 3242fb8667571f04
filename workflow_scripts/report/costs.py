"""What a study cost, collected from what its steps measured: manifests' circumstances and the runs' timing.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.core.files import read_json
from workflow_scripts.report.context import arm_and_seed

TIMED = ("wall_s", "steps_per_s", "peak_memory_mb", "num_parameters")


def collect_costs(timings: Sequence[Path], manifests: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The content of costs.json.

        {"stages": [{"stage", "jobs", "wall_s", "training_steps", "images", "gpu_hours", "peak_memory_mb"}],
         "runs": [{"arm", "seed", "wall_s", "steps_per_s", "peak_memory_mb", "num_parameters"}],
         "machines": ["CPU, cores, GPUs"], "missing": ["sentence"]}

    A stage is one entry point. Its `wall_s` sums its steps one after another, whatever ran beside them; `gpu_hours` is
    that time where the machine had a GPU, and null where it had none. Steps that were kept from an earlier
    run count with what they cost then.
    """
    kept = list(manifests)
    stages: dict[str, dict[str, Any]] = {}
    for manifest in kept:
        _add(stages, manifest)
    runs = [_run(path) for path in sorted(timings)]
    missing = [] if kept else ["No manifest of a step was found, so only training is timed."]
    return {
        "stages": sorted(stages.values(), key=lambda stage: -stage["wall_s"]),
        "runs": runs,
        "machines": sorted(
            {_machine(manifest["circumstances"].get("machine") or {}) for manifest in kept} - {""}
        ),
        "missing": missing,
    }


def _add(stages: dict[str, dict[str, Any]], manifest: Mapping[str, Any]) -> None:
    lineage, measured = manifest["lineage"], manifest["circumstances"]
    empty = {
        "jobs": 0,
        "wall_s": 0.0,
        "training_steps": None,
        "images": None,
        "gpu_hours": None,
        "peak_memory_mb": None,
    }
    stage = stages.setdefault(lineage["entry"], {"stage": lineage["entry"], **empty})
    wall_s, memory = measured.get("wall_s") or 0.0, measured.get("peak_memory_mb")
    stage["jobs"] += 1
    stage["wall_s"] += wall_s
    if memory is not None:
        stage["peak_memory_mb"] = max(memory, stage["peak_memory_mb"] or 0.0)
    if (measured.get("machine") or {}).get("gpu"):
        stage["gpu_hours"] = (stage["gpu_hours"] or 0.0) + wall_s / 3600
    steps, images = _work(lineage["settings"], lineage["entry"])
    for key, amount in (("training_steps", steps), ("images", images)):
        if amount is not None:
            stage[key] = (stage[key] or 0) + amount


def _work(settings: Mapping[str, Any], entry: str) -> tuple[int | None, int | None]:
    """Optimizer steps and images of one step of the pipeline, from the settings it ran with."""
    if entry == "train_model":
        training = settings["training"]
        return training["num_steps"], training["num_steps"] * training["batch_size"]
    if entry == "train_extractor" and "num_steps" in settings["extractor"]:
        extractor = settings["extractor"]
        return extractor["num_steps"], extractor["num_steps"] * extractor["batch_size"]
    if entry == "sample_images":
        return None, settings["sampling"]["num_samples"]
    return None, None


def _run(path: Path) -> dict[str, Any]:
    arm, seed = arm_and_seed(path)
    timing = read_json(path)
    return {"arm": arm, "seed": seed, **{key: timing.get(key) for key in TIMED}}


def _machine(machine: Mapping[str, Any]) -> str:
    cores = machine.get("cores")
    return ", ".join(
        filter(None, [machine.get("cpu"), f"{cores} cores" if cores else None, *(machine.get("gpu") or [])])
    )
