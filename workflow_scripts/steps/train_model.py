"""Train one arm with one seed: checkpoints, a log of loss and gradient norm, and how long it took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from workflow_scripts.core.errors import PipelineError, StopSignals
from workflow_scripts.core.files import remove_leftovers, sha256_file, write_csv, write_json
from workflow_scripts.core.memory import peak_resident_bytes
from workflow_scripts.core.progress import Progress
from workflow_scripts.core.step import Step, run
from workflow_scripts.data.images import load_dataset
from workflow_scripts.training.device import device_of, kind_of, require_determinism
from workflow_scripts.training.log import DivergedError, TrainingLog
from workflow_scripts.training.loop import train
from workflow_scripts.training.saved_run import SavedRun
from workflow_scripts.training.session import Session
from workflow_scripts.training.state import initial_state


def main(step: Step) -> None:
    """Settings: arm, seed, data.image_size, data.channels, model, diffusion, loss, training.

    Input `train`; outputs `checkpoints` (one per training.checkpoint_steps, in that order), `log`, `timing`. They appear
    together at the end; until then the hidden folder `.training` beside the log holds what a killed run goes on from. A
    run that diverges leaves none of them, but `log.failed.csv` beside the log. Machine: save_every_s, about how often to
    save.
    """
    path_of = _checkpoint_paths(step)
    images = _training_images(step)
    device = device_of(step)
    require_determinism(device)
    saved = SavedRun(step.output("log").parent / ".training", _identity(step, device), step.say)
    saved.prepare()
    for path in (path for paths in step.outputs.values() for path in paths):
        remove_leftovers(path)
    with StopSignals() as stop:
        _train(step, images, device, path_of, saved, stop)
    # not before the manifest is written: that may find an input changed, and the time spent should not be lost then
    step.afterwards.append(saved.finish)


def _train(
    step: Step,
    images: np.ndarray,
    device: torch.device,
    path_of: dict[int, Path],
    saved: SavedRun,
    stop: StopSignals,
) -> None:
    settings, num_steps = step.settings, step.setting("training.num_steps")
    log_path = step.output("log")
    failed_log_path = log_path.with_name(f"{log_path.stem}.failed{log_path.suffix}")
    state, log = initial_state(settings, device), TrainingLog(step.setting("training.log_every"))
    num_parameters = sum(parameter.numel() for parameter in state.model.parameters())
    name = f"{step.setting('arm')} seed {step.setting('seed')}"
    step.say(f"{name}: {num_parameters} parameters, {len(images)} images, on {device.type}")
    session = Session(settings, state, log, saved, float(step.machine.get("save_every_s", 60)), stop)
    if (first := session.resume()) > 0:
        step.say(f"{name}: going on after step {first}")
    progress = Progress(name, num_steps, "steps", step.log, start=first)
    try:
        train(
            state,
            images,
            settings,
            log,
            num_steps,
            tuple(path_of),
            session.on_checkpoint,
            progress,
            session.on_step,
        )
    except DivergedError as error:
        saved.discard()
        # under a name of its own, since a workflow manager deletes what a failed step had declared
        write_csv(failed_log_path, TrainingLog.COLUMNS, log.rows_until_failure())
        raise PipelineError(f"{error}; the log up to there is {failed_log_path}") from error

    for at, path in path_of.items():
        saved.publish(at, path)
    write_csv(log_path, TrainingLog.COLUMNS, log.rows)
    failed_log_path.unlink(missing_ok=True)
    timing = {
        "wall_s": session.wall_s,
        "steps_per_s": num_steps / session.wall_s,
        "peak_memory_mb": peak_resident_bytes() / 2**20,
        "num_parameters": num_parameters,
    }
    write_json(step.output("timing"), timing)


def _identity(step: Step, device: torch.device) -> dict[str, Any]:
    """All that decides the bytes of the result: a saved state goes on only where every part of it is the same."""
    return {
        "settings": step.settings,
        "train": sha256_file(step.input("train")),
        "code": step.code_sha256,
        "device": kind_of(device),
        "threads": step.threads,
    }


def _checkpoint_paths(step: Step) -> dict[int, Path]:
    steps, num_steps = step.setting("training.checkpoint_steps"), step.setting("training.num_steps")
    if not steps or steps != sorted(set(steps)) or steps[0] < 1 or steps[-1] != num_steps:
        raise PipelineError(f"training.checkpoint_steps {steps} must rise to training.num_steps {num_steps}")
    paths = step.outputs.get("checkpoints", [])
    if len(paths) != len(steps):
        raise PipelineError(
            f"{len(steps)} training.checkpoint_steps need as many checkpoint paths, got {len(paths)}"
        )
    return dict(zip(steps, paths))


def _training_images(step: Step) -> np.ndarray:
    path = step.input("train")
    images, _ = load_dataset(path)
    side, channels = step.setting("data.image_size"), step.setting("data.channels")
    expected = (side, side, channels)
    if images.shape[1:] != expected:
        raise PipelineError(
            f"{path} has images of {images.shape[1:]}, not {expected}; delete it and run again"
        )
    return images


if __name__ == "__main__":
    run(main, volatile=("timing",))
