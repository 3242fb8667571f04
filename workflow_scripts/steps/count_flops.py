"""Count the FLOPs of an arm's training, by torch: passes of all networks, forwards and backwards.

Settings: those of train_model; file, which sets training.num_steps. Input `matched`: the count of the arm
that training.flops_matched_to names. Output: flops (json: num_steps, flops_per_step, training_flops).
"""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json, write_json
from workflow_scripts.core.step import Step, run
from workflow_scripts.study.results import FLOP_COUNTS
from workflow_scripts.training.step import TrainingStep, initial_state

# How far the FLOPs of arms that are called matched may lie apart.
TOLERANCE = 0.02


def main(step: Step) -> None:
    """Write `flops_per_step` and `training_flops`; PipelineError if arms to be matched are not.

    A multiplication and an addition are two FLOPs; norms, activations and Adam are not counted.
    """
    settings, training = step.settings, step.setting("training")
    per_step = flops_per_step(settings)
    total = per_step * training["num_steps"]
    step.say(f"{step.setting('arm')}: {per_step:.4g} FLOPs per step, {total:.4g} in all")
    if "matched" in step.inputs:
        wanted = read_json(step.input("matched"))["training_flops"]
        if abs(total / wanted - 1) > TOLERANCE:
            raise PipelineError(
                f"{step.setting('file')}: training.num_steps {training['num_steps']} takes "
                f"{total / wanted:.3f} times the FLOPs of {training['flops_matched_to']}; set it to about "
                f"{wanted / per_step:.0f}"
            )
    counts = dict(zip(FLOP_COUNTS, (per_step, total)))
    write_json(step.output("flops"), {"num_steps": training["num_steps"], **counts})


def flops_per_step(settings: dict) -> int:
    """The FLOPs of one update with these settings of train_model, on images of zeros."""
    data, size = settings["data"], settings["training"]["batch_size"]
    state = initial_state(settings, torch.device("cpu"))
    for trained in state.trained.values():
        trained.network.train()
    images = np.zeros((size, data["image_size"], data["image_size"], data["channels"]), dtype=np.uint8)
    zeros = {"images": images, "labels": np.zeros(size, dtype=np.int64), "condition": images}
    with FlopCounterMode(display=False) as counter:
        TrainingStep(state, zeros, settings).run()
    return counter.get_total_flops()


if __name__ == "__main__":
    run(main)
