"""Get the dataset, check it, split it, and write it in the form that every later step reads."""

from __future__ import annotations

from workflow_scripts.core.progress import Progress
from workflow_scripts.core.step import Step, run
from workflow_scripts.data.prepare import prepare


def main(step: Step) -> None:
    """Setting: data. Input: root, where data lies. Outputs: train and test (npz), manifest (JSON)."""
    progress = Progress(step.name, None, "images", step.log)
    manifest = prepare(
        step.setting("data"),
        step.input("root"),
        step.output("train"),
        step.output("test"),
        step.output("manifest"),
        on_images=progress.update,
        warn=step.say,
        least_train=int(step.machine.get("least_train", 0)),
    )
    step.say(
        f"{manifest['title']}: {manifest['train']['count']} training and {manifest['test']['count']} test "
        f"images of {' x '.join(map(str, manifest['shape']))}"
    )


if __name__ == "__main__":
    run(main)
