"""The smoke preset with training long enough to be interrupted, and the same training never interrupted."""

from __future__ import annotations

from pathlib import Path

from tests.workflow.projects import SMOKE, copy_project, edit, start_snakemake
from workflow_scripts.core.files import sha256_file

RUNS = "results/MS1_min_snr/smoke/runs"


def long_project(folder: Path, num_steps: int) -> Path:
    """A copy of the project in which the preset smoke trains for `num_steps` steps (some 50 a second)."""
    project = copy_project(folder)
    preset = project / SMOKE
    edit(preset, "num_steps: 40\n", f"num_steps: {num_steps}\n")
    edit(preset, "[20, 40]", f"[20, {num_steps}]")
    return project


class Uninterrupted:
    """The targets made on this machine, in the background, in a project of their own."""

    def __init__(self, folder: Path, num_steps: int, *targets: str):
        self.project = long_project(folder, num_steps)
        self.process = start_snakemake(self.project, *targets)

    def differing(self, project: Path, runs: list[str], num_steps: int) -> list[str]:
        """Files of the runs that differ in `project`: the log with every step, and the last checkpoint."""
        said, _ = self.process.communicate(timeout=3600)
        assert self.process.returncode == 0, said
        names = ("log.csv", f"checkpoints/step{num_steps:07d}.pt")
        paths = [f"{RUNS}/{run}/{name}" for run in runs for name in names]
        return [path for path in paths if sha256_file(project / path) != sha256_file(self.project / path)]
