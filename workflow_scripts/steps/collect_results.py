"""Merge metric rows into one sorted results.jsonl. Used per run, and again over the runs' files per study.

Settings: none. Inputs `rows`: metric lists (.json), probe files (.json with `rows`), results (.jsonl).
Output: `results`.
"""

from __future__ import annotations

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import write_json_lines
from workflow_scripts.core.step import Step, run
from workflow_scripts.study.results import merge_rows, read_rows


def main(step: Step) -> None:
    paths = step.inputs.get("rows", [])
    if not paths:
        raise PipelineError(f"{step.name} needs at least one --input rows PATH")
    rows = merge_rows(row for path in paths for row in read_rows(path))
    write_json_lines(step.output("results"), rows)
    step.say(f"{len(rows)} rows from {len(paths)} files")


if __name__ == "__main__":
    run(main)
