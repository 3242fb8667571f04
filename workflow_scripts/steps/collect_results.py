"""Merge metric rows into one sorted results.jsonl. Used per run, and again over the runs' files per study.

Settings: none, or those of a run: study, preset, arm, seed. Inputs `rows`: metric lists (.json), probe files
(.json with `rows`), results (.jsonl); `status` of the run, which gives a row `diverged` if it did. Output:
`results`.
"""

from __future__ import annotations

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json, write_json_lines
from workflow_scripts.core.step import Step, run
from workflow_scripts.study.results import DIVERGED, merge_rows, read_rows


def main(step: Step) -> None:
    paths = step.inputs.get("rows", [])
    if not paths:
        raise PipelineError(f"{step.name} needs at least one --input rows PATH")
    rows = [row for path in paths for row in read_rows(path)]
    if step.inputs.get("status") and (at := read_json(step.input("status"))["diverged_at"]) is not None:
        row = {**step.settings, "metric": DIVERGED, "value": at, "stderr": None, "interval": None, "on": {}}
        rows.append({**row, "from": {"step": at, "weights": "last"}})
    rows = merge_rows(rows)
    write_json_lines(step.output("results"), rows)
    step.say(f"{len(rows)} rows from {len(paths)} files")


if __name__ == "__main__":
    run(main)
