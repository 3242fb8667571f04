"""Train one arm with one seed: checkpoints, a log of loss and gradient norm, and how long it took."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.common.files import write_csv, write_json
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.step import Step, run
from workflow_scripts.data.images import load_dataset
from workflow_scripts.training.checkpoints import save_checkpoint
from workflow_scripts.training.device import choose_device, require_determinism
from workflow_scripts.training.log import DivergedError, TrainingLog
from workflow_scripts.training.loop import TrainingState, initial_state, train


def main(step: Step) -> None:
    """Settings: arm, seed, data.image_size, data.channels, model, diffusion, loss, training.

    Input `train`; outputs `checkpoints` (one per training.checkpoint_steps, in that order), `log`, `timing`. A run that
    diverges leaves none of them, but `log.failed.csv` beside the log.
    """
    settings, training = step.settings, step.setting("training")
    path_of = _checkpoint_paths(step)
    log_path, timing_path = step.output("log"), step.output("timing")
    failed_log_path = log_path.with_name(f"{log_path.stem}.failed{log_path.suffix}")
    images = _training_images(step)
    device = choose_device()
    require_determinism(device)
    state = initial_state(settings, device)
    num_parameters = sum(parameter.numel() for parameter in state.model.parameters())
    name = f"{step.setting('arm')} seed {step.setting('seed')}"
    step.say(f"{name}: {num_parameters} parameters, {len(images)} images, on {device.type}")

    def keep(state: TrainingState) -> None:
        save_checkpoint(
            path_of[state.step],
            model=state.model.state_dict(),
            ema=state.ema.model.state_dict(),
            step=state.step,
            seed=settings["seed"],
            settings=settings,
        )

    log = TrainingLog(training["log_every"])
    progress = Progress(name, training["num_steps"], "steps", step.log)
    started = time.monotonic()
    try:
        train(state, images, settings, log, training["num_steps"], tuple(path_of), keep, progress)
    except DivergedError as error:
        for path in path_of.values():
            path.unlink(missing_ok=True)
        # under a name of its own, since a workflow manager deletes what a failed step had declared
        write_csv(failed_log_path, TrainingLog.COLUMNS, log.rows_until_failure())
        raise PipelineError(f"{error}; the log up to there is {failed_log_path}") from error
    wall_s = time.monotonic() - started

    write_csv(log_path, TrainingLog.COLUMNS, log.rows)
    failed_log_path.unlink(missing_ok=True)
    write_json(
        timing_path,
        {
            "wall_s": wall_s,
            "steps_per_s": training["num_steps"] / wall_s,
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "num_parameters": num_parameters,
        },
    )


def _checkpoint_paths(step: Step) -> dict[int, Path]:
    steps, num_steps = step.setting("training.checkpoint_steps"), step.setting("training.num_steps")
    if not steps or steps != sorted(set(steps)) or steps[0] < 1 or steps[-1] != num_steps:
        raise PipelineError(f"training.checkpoint_steps {steps} must rise to training.num_steps {num_steps}")
    paths = step.outputs.get("checkpoints", [])
    if len(paths) != len(steps):
        raise PipelineError(f"{len(steps)} training.checkpoint_steps need as many checkpoint paths, got {len(paths)}")
    return dict(zip(steps, paths))


def _training_images(step: Step) -> np.ndarray:
    path = step.input("train")
    images, _ = load_dataset(path)
    side, channels = step.setting("data.image_size"), step.setting("data.channels")
    expected = (side, side, channels)
    if images.shape[1:] != expected:
        raise PipelineError(f"{path} has images of {images.shape[1:]}, not {expected}; delete it and run again")
    return images


if __name__ == "__main__":
    run(main, volatile=("timing",))
