"""Check that the GPU that `device: cuda` asks for exists. Snakemake runs this before its first job.

Machine: device.
"""

from __future__ import annotations

from workflow_scripts.core.step import Step, run
from workflow_scripts.training.device import device_of


def main(step: Step) -> None:
    """PipelineError, in one line, when a GPU is asked for and torch sees none."""
    device_of(step)


if __name__ == "__main__":
    run(main)
