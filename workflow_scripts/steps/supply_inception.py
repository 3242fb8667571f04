"""Make sure that the Inception weights are there and intact, before anything is trained.

Settings: none. Input: weights, a file to check. Or output: weights, where the published file is downloaded to
unless it is there already. The run calls this before its first job (rules/common.smk).
"""

from __future__ import annotations

from workflow_scripts.core.files import write_bytes
from workflow_scripts.core.step import Step, run
from workflow_scripts.metrics.inception import (
    download_inception_weights,
    load_inception,
    read_inception_weights,
    require_published,
)


def main(step: Step) -> None:
    """Download the weights if they are missing, then load the network once."""
    if "weights" in step.inputs:
        path = step.input("weights")
        read_inception_weights(path)
    else:
        path = step.output("weights")
        if path.is_file():
            require_published(read_inception_weights(path), path)
        else:
            write_bytes(path, download_inception_weights())
    load_inception(path)
    step.say(f"{path} holds the Inception weights")


if __name__ == "__main__":
    run(main)
