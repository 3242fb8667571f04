"""Get the dataset, check it, split it, and write it in the form every later step reads."""

from __future__ import annotations

from workflow_scripts.common.step import Step, run
from workflow_scripts.data.prepare import prepare


def main(step: Step) -> None:
    """Settings: data. Outputs `train`, `test` (npz) and `manifest` (json)."""
    manifest = prepare(step.setting("data"), step.output("train"), step.output("test"), step.output("manifest"))
    step.say(
        f"{manifest['title']}: {manifest['train']['count']} training and {manifest['test']['count']} test images "
        f"of {' x '.join(map(str, manifest['shape']))}"
    )


if __name__ == "__main__":
    run(main)
