"""Run `snakemake --lint` and fail on findings without a stated reason here.

python tests/lint_workflow.py
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# How a finding begins -> why it stays.
ACCEPTED = {
    "Mixed rules and functions in same snakefile": (
        "each file of rules/ holds the input functions of its own rules; shared ones are in common.smk"
    ),
    "Specify a conda environment or container for each rule": (
        "one lock with hashes (envs/requirements.lock) serves every rule; each manifest lists the packages "
        "that its step used, with a digest that decides reruns"
    ),
    "Shell command directly uses variable": (
        "the data root and settings of the machine (device) change no result, so they must not be "
        "parameters; params.settings holds what decides a result"
    ),
}


def main() -> int:
    command = ["snakemake", "--lint", "--config", "preset=smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    report = done.stdout + done.stderr
    if "Lints for" not in report and done.returncode:
        print(report, file=sys.stderr)
        return done.returncode
    findings = re.findall(r"^    \* (.+)$", report, flags=re.MULTILINE)
    unexplained = [finding for finding in findings if not finding.startswith(tuple(ACCEPTED))]
    for finding in unexplained:
        print(
            f"snakemake --lint: {finding}; fix it, or give a reason in {Path(__file__).name}", file=sys.stderr
        )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
