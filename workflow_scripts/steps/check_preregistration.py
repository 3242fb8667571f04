"""Write down that the gate was open: lock verified, comparisons matched, amendments listed.

Settings: description.gate_settings. Inputs: preregistrations, lock (with the amendments, where they exist).
Output: gate.
"""

from __future__ import annotations

from pathlib import Path

from workflow_scripts.core.files import write_json
from workflow_scripts.core.step import Step, run
from workflow_scripts.study.gate import open_gate


def main(step: Step) -> None:
    gate = open_gate(Path(), step.settings)
    write_json(step.output("gate"), gate)
    matched, amended = len(gate["comparisons"]), len(gate["amendments"])
    step.say(f"lock verified, {matched} comparisons matched, {amended} amendments")


if __name__ == "__main__":
    run(main)
