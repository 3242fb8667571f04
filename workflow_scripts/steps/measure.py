"""Measure one metric of a run, at each of its points or once.

Settings: study, preset, arm, seed; metric, a name in the study's list; loads; points, a list of {name,
num_samples, …}; step; and those that the metric needs. Inputs: those of study/measures.py, and checkpoint
(hashed only) of a trained arm. Output: metrics (json rows).
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core import registry
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_npz, sha256_file, write_json
from workflow_scripts.core.step import Step, run
from workflow_scripts.metrics.given import given_by_study
from workflow_scripts.metrics.measures import Measured
from workflow_scripts.study.measures import PER_POINT, SETTINGS, needs_of
from workflow_scripts.study.results import check_row, read_rows


def main(step: Step) -> None:
    """Write the metric's rows. Points without images, of a run that diverged, have none."""
    metric, rows = step.setting("metric"), []
    function, needs = registry.load("metrics", metric), needs_of(metric)
    common = {name: step.setting(name) for name in ("study", "preset", "arm", "seed")}
    common |= {"stderr": None, "interval": None}
    source: dict[str, Any] = {"step": step.setting("step")}
    if step.inputs.get("checkpoint"):
        source |= {"weights": "ema", "checkpoint_sha256": sha256_file(step.input("checkpoint"))}
    shared, on = given_by_study(step, needs)
    shared |= {need: step.setting(need) for need in SETTINGS if need in needs}
    if "log" in needs:
        found = function(**shared, log=_read_log(step.input("log")))
        rows += _rows(metric, found, {**common, "on": on, "from": {**source, "weights": "last"}}, step)
    elif "distances" in needs:
        if judged := _judged_checkpoints(step):
            found = function(**shared, distances=np.array([row["value"] for row in judged]))
            rows += _rows(metric, found, common | {part: judged[-1][part] for part in ("on", "from")}, step)
    else:
        for number, point in enumerate(step.setting("points")):
            own = {name: value for name, value in point.items() if value is not None}
            name, num_samples = own.pop("name"), own.pop("num_samples")
            given = _of_point(step, needs, number, num_samples)
            if given is None:
                step.say(f"{name}: there are no images, so there is nothing to measure")
                continue
            at = {
                **common,
                "on": {**on, "num_samples": num_samples},
                "from": {"point": name, **own, **source},
            }
            rows += _rows(metric, function(**given, **shared), at, step)
    for row in rows:
        check_row(row, step.output("metrics"))
    write_json(step.output("metrics"), rows)


def _rows(metric: str, found: Any, common: dict[str, Any], step: Step) -> list[dict[str, Any]]:
    """A row for each value that is finite."""
    rows = []
    for name, given in (found if isinstance(found, dict) else {metric.rpartition(":")[2]: found}).items():
        value, stderr, interval = given if isinstance(given, Measured) else Measured(given)
        step.say(f"{common['from'].get('point', 'log')}: {name} {value:.4g}")
        if math.isfinite(value):
            own = {"stderr": stderr, "interval": None if interval is None else list(interval)}
            rows.append({**common, "metric": name, "value": value, **own})
    return rows


def _of_point(step: Step, needs: tuple[str, ...], number: int, num_samples: int) -> dict[str, Any] | None:
    """What the metric needs of the first `num_samples` samples at a point; None if there are no samples."""
    given = {}
    for need in needs:
        kind = {"logits": "features", "predicted": "features", "labels": "samples"}.get(need, need)
        if kind not in PER_POINT:
            continue
        path = step.inputs[kind][number]
        (values,) = read_npz(path, "images" if need == "samples" else need)
        if not len(values):
            return None
        if len(values) < num_samples:
            raise PipelineError(
                f"{path} holds {need} of {len(values)} images, {num_samples} are needed; "
                "delete it and its samples and run again"
            )
        given[need] = values[:num_samples]
    return given


def _judged_checkpoints(step: Step) -> list[dict[str, Any]]:
    """The rows of all checkpoints by step; none of a run whose last one gives no images."""
    earlier, final = (read_rows(step.input(name)) for name in ("frechet_by_step", "frechet_distance"))
    points = [row["from"]["point"] for row in earlier]
    last = [row for row in final if row["from"]["point"] in points]
    return sorted([*earlier, *last], key=lambda row: row["from"]["step"]) if last else []


def _read_log(path: Path) -> dict[str, np.ndarray]:
    with open(path, encoding="utf-8", newline="") as file:
        columns, *lines = csv.reader(file)
    values = np.array(lines, dtype=np.float64).reshape(len(lines), len(columns))
    return dict(zip(columns, values.T))


if __name__ == "__main__":
    run(main)
