"""The smoke preset with training long enough to be interrupted, and the same training never interrupted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.workflow.projects import copy_project, venv_environment
from workflow_scripts.core.files import sha256_file

RUNS = "results/MS1_min_snr/smoke/runs"


def long_project(folder: Path, num_steps: int) -> Path:
    """A copy of the project in which the preset smoke trains for `num_steps` steps (some 50 a second)."""
    project = copy_project(folder)
    path = project / "config/preset/smoke.yaml"
    text = path.read_text()
    for old, new in (("num_steps: 40\n", f"num_steps: {num_steps}\n"), ("[20, 40]", f"[20, {num_steps}]")):
        assert text.count(old) == 1, f"{path} no longer holds {old!r} once"
        text = text.replace(old, new)
    path.write_text(text)
    return project


class Uninterrupted:
    """The targets made on this machine, in the background, in a project of their own."""

    def __init__(self, folder: Path, num_steps: int, *targets: str):
        self.project = long_project(folder, num_steps)
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *targets, "--config", "preset=smoke"]
        self.process = subprocess.Popen(
            command,
            cwd=self.project,
            env=venv_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def differing(self, project: Path, runs: list[str], num_steps: int) -> list[str]:
        """Files of the runs that differ in `project`: the log with every step, and the last checkpoint."""
        said, _ = self.process.communicate(timeout=3600)
        assert self.process.returncode == 0, said
        paths = [
            f"{RUNS}/{run}/{name}"
            for run in runs
            for name in ("log.csv", f"checkpoints/step{num_steps:07d}.pt")
        ]
        return [path for path in paths if sha256_file(project / path) != sha256_file(self.project / path)]
