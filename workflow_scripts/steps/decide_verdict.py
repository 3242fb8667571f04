"""Apply the locked rule to the results: an outcome per hypothesis and for the study, with error rates.

Settings: `hypotheses` and `analysis` as preregistered, `context` as in study/verdict.py. Inputs: `results`;
`gate`, for the lineage. Output: `verdict`.
"""

from __future__ import annotations

from workflow_scripts.core.files import sha256_file, write_json
from workflow_scripts.core.step import Step, run
from workflow_scripts.study.results import merge_rows, read_rows
from workflow_scripts.study.verdict import decide


def main(step: Step) -> None:
    path = step.input("results")
    rows = merge_rows(read_rows(path))
    verdict = decide(step.setting("hypotheses"), rows, step.setting("analysis"), step.setting("context"))
    verdict["results_sha256"] = sha256_file(path)
    verdict["input_lineage_sha256"] = step.input_lineage_sha256
    write_json(step.output("verdict"), verdict)
    for hypothesis in verdict["hypotheses"]:
        step.say(f"{hypothesis['id']} {hypothesis['outcome']}: {hypothesis['reason']}")
    step.say(f"study: {verdict['reason']}")


if __name__ == "__main__":
    run(main)
