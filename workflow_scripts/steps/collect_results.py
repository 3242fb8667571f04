"""Merge metric rows into one sorted results.jsonl. Used per run, and again over the runs' files per study.

Settings: none, or those of a run: study, preset, arm, seed. Inputs `rows`: metric lists (.json), probe files
(.json with `rows`), results (.jsonl); `status` of the run, which gives a row `diverged` if it did; `flops`
of its arm. Output: `results`.
"""

from __future__ import annotations

from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json, write_json_lines
from workflow_scripts.core.step import Step, run
from workflow_scripts.study.results import DIVERGED, FLOP_COUNTS, merge_rows, read_rows


def main(step: Step) -> None:
    paths = step.inputs.get("rows", [])
    if not paths:
        raise PipelineError(f"{step.name} needs at least one --input rows PATH")
    rows = [row for path in paths for row in read_rows(path)]
    if step.inputs.get("status") and (at := read_json(step.input("status"))["diverged_at"]) is not None:
        rows.append(_of_training(step, DIVERGED, at, at))
    if step.inputs.get("flops"):
        counts = read_json(step.input("flops"))
        rows += [_of_training(step, name, counts[name], counts["num_steps"]) for name in FLOP_COUNTS]
    rows = merge_rows(rows)
    write_json_lines(step.output("results"), rows)
    step.say(f"{len(rows)} rows from {len(paths)} files")


def _of_training(step: Step, metric: str, value: float, at: int) -> dict[str, Any]:
    """A row of the run itself, at a training step."""
    row = {**step.settings, "metric": metric, "value": value, "stderr": None, "interval": None, "on": {}}
    return {**row, "from": {"step": at, "weights": "last"}}


if __name__ == "__main__":
    run(main)
