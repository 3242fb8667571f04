"""Make sure that the Inception weights are there and intact, before anything is trained.

Settings: none. Input: weights, a file to check. Or output: weights, where the published file is downloaded to
unless it is there already. The run calls this before its first job (rules/common.smk).
"""

from __future__ import annotations

from workflow_scripts.core.step import Step, run
from workflow_scripts.metrics.inception import load_inception, published_weights


def main(step: Step) -> None:
    """Download the weights if they are missing, then load the network once."""
    given = "weights" in step.inputs
    path = step.input("weights") if given else published_weights(step.output("weights"))
    load_inception(path)
    step.say(f"{path} holds the Inception weights")


if __name__ == "__main__":
    run(main)
