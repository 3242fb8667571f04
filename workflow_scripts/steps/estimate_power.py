"""Estimate what it would take to decide each hypothesis: spread between seeds, its parts, seeds and samples.

Settings: `preregistered_seeds`, their number by experiment. Inputs: verdict; redrawn, finite-sample
measurements of runs (none if no hypothesis is about the Fréchet distance). Output: power.
"""

from __future__ import annotations

from workflow_scripts.core.files import read_json, write_json
from workflow_scripts.core.step import Step, run
from workflow_scripts.study.power import power_of


def main(step: Step) -> None:
    redrawn = [read_json(path) for path in step.inputs.get("redrawn", [])]
    found = power_of(read_json(step.input("verdict")), redrawn, step.setting("preregistered_seeds"))
    write_json(step.output("power"), found)
    step.say(f"{len(found['hypotheses'])} hypotheses, {len(redrawn)} runs with redrawn samples")


if __name__ == "__main__":
    run(main)
