"""Train one arm with one seed: checkpoints, a log of loss and gradient norm, and the time it took."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from workflow_scripts.core.errors import NotFiniteError, PipelineError, StopSignals
from workflow_scripts.core.files import remove_leftovers, sha256_file, write_csv, write_json
from workflow_scripts.core.memory import peak_resident_bytes
from workflow_scripts.core.progress import Progress
from workflow_scripts.core.step import Step, run
from workflow_scripts.data.images import load_dataset
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.nets.build import build_network
from workflow_scripts.training.checkpoints import load_checkpoint, load_ema_model, save_checkpoint
from workflow_scripts.training.device import device_of, kind_of, require_determinism
from workflow_scripts.training.log import DivergedError, TrainingLog
from workflow_scripts.training.loop import Session, train
from workflow_scripts.training.saved_run import SavedRun
from workflow_scripts.training.step import initial_state

TABLES_MADE = 20


def main(step: Step) -> None:
    """Settings: arm, seed, data.image_size, data.channels, model, diffusion, loss, training.

    Inputs `train`, and `network`, a checkpoint, of a method that names one; outputs `checkpoints` (one per
    training.checkpoint_steps, in that order), `log`, `status` (json: diverged_at, a step or null), `timing`.
    They appear together at the end; until then the hidden folder `.training` beside the log holds what a
    killed run resumes from. A run that diverges ends there: its log reaches to that step, `status` names it,
    and the checkpoints after it hold no weights. With a shared network that diverged it is step 0.
    Machine: save_every_s, the seconds between two saves.
    """
    path_of = _checkpoint_paths(step)
    data = _training_data(step)
    device = device_of(step)
    require_determinism(device)
    saved = SavedRun(step.output("log").parent / ".training", _identity(step, device), step.say)
    saved.prepare()
    for path in (path for paths in step.outputs.values() for path in paths):
        remove_leftovers(path)
    with StopSignals() as stop:
        _train(step, data, device, path_of, saved, stop)
    # Only after the manifest: writing it may find a changed input, and the training should not be lost then.
    step.afterwards.append(saved.finish)


def _train(
    step: Step,
    data: dict[str, np.ndarray],
    device: torch.device,
    path_of: dict[int, Path],
    saved: SavedRun,
    stop: StopSignals,
) -> None:
    settings, num_steps = step.settings, step.setting("training.num_steps")
    network, diverged_at = _shared_network(step)
    state = initial_state(settings, device, network)
    log = TrainingLog(step.setting("training.log_every"), state.method.columns)
    networks = [trained.network for trained in state.trained.values()]
    num_parameters = sum(parameter.numel() for network in networks for parameter in network.parameters())
    name = f"{step.setting('arm')} seed {step.setting('seed')}"
    step.say(f"{name}: {num_parameters} parameters, {len(data['images'])} images, on {device.type}")
    session = Session(settings, state, log, saved, float(step.machine.get("save_every_s", 60)), stop)
    if (first := session.resume()) > 0:
        step.say(f"{name}: going on after step {first}")
    progress = Progress(name, num_steps, "steps", step.log, start=first)
    try:
        callbacks = (tuple(path_of), session.on_checkpoint, session.on_step, progress)
        if diverged_at is None:
            train(state, data, settings, log, num_steps, *callbacks)
        else:
            log.rows.append((0, *[float("nan")] * len(log.names)))
    except DivergedError as error:
        step.say(f"{error}; the run ends there and is reported so")
        diverged_at = error.step

    for at, path in path_of.items():
        if diverged_at is None or at < diverged_at:
            saved.publish(at, path)
        else:
            none = {"model": {}, "ema": {}, "diverged_at": diverged_at}
            save_checkpoint(path, **none, step=at, seed=settings["seed"], settings=settings)
    write_csv(step.output("log"), ("step", *log.names), log.rows_until_failure())
    write_json(step.output("status"), {"diverged_at": diverged_at})
    timing = {
        "wall_s": session.wall_s,
        "steps_per_s": state.step / session.wall_s,
        "peak_memory_mb": peak_resident_bytes() / 2**20,
        "num_parameters": num_parameters,
    }
    if "direct" not in state.method.SAMPLERS:
        timing["tables_ms"] = _tables_ms(settings["diffusion"])
    write_json(step.output("timing"), timing)


def _tables_ms(diffusion: dict[str, Any]) -> float:
    """Milliseconds to make the schedule's tables, which each step would take if it did not find them made."""
    started = time.perf_counter()
    for _ in range(TABLES_MADE):
        GaussianDiffusion.from_settings(diffusion)
    return 1000 * (time.perf_counter() - started) / TABLES_MADE


def _identity(step: Step, device: torch.device) -> dict[str, Any]:
    """Everything that decides the bytes of the result; a saved state is used only if all of it is equal."""
    return {
        "settings": step.settings,
        "inputs": {name: [sha256_file(path) for path in paths] for name, paths in step.inputs.items()},
        "code": step.code_sha256,
        "device": kind_of(device),
        "threads": step.threads,
    }


def _shared_network(step: Step) -> tuple[nn.Module | None, int | None]:
    """The network that the method names, with its EMA weights, not to be trained; None if it names none.

    Beside it 0, the step at which a run ends whose network has diverged and so has no weights; or None.
    """
    if "network" not in step.inputs:
        return None, None
    path = step.input("network")
    settings = load_checkpoint(path)["settings"]
    try:
        return load_ema_model(path, settings, ()).requires_grad_(False), None
    except NotFiniteError as error:
        step.say(f"{error}; so this run cannot begin, and is reported so")
        return build_network(settings), 0


def _checkpoint_paths(step: Step) -> dict[int, Path]:
    steps, paths = step.setting("training.checkpoint_steps"), step.outputs.get("checkpoints", [])
    if len(paths) != len(steps):
        raise PipelineError(
            f"{len(steps)} training.checkpoint_steps need as many checkpoint paths, got {len(paths)}"
        )
    return dict(zip(steps, paths))


def _training_data(step: Step) -> dict[str, np.ndarray]:
    path = step.input("train")
    data = load_dataset(path)
    side, channels = step.setting("data.image_size"), step.setting("data.channels")
    expected = (side, side, channels)
    if (shape := data["images"].shape[1:]) != expected:
        raise PipelineError(f"{path} has images of {shape}, not {expected}; delete it and run again")
    return data


if __name__ == "__main__":
    run(main, volatile=("timing",))
