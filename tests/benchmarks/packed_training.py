"""Several trainings on one GPU, each a process, sharing it through MPS: all at once against one after another.

Both ways run the same processes in turn. That packing changes no run is checked first: each is trained anew
alone and anew beside all others, and its weights must have the same bytes. Start MPS first, as docs/gpu.md
says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from typing import Any

import torch
from networks import cifar_settings, our_network
from own_process import OwnProcess
from side_by_side import Comparison
from training_step import OurLoop, random_images

from workflow_scripts.training.device import require_determinism, require_float32

RUNS, STEPS, CHECKED_STEPS = 8, 50, 20


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Runs of the preregistered network and batch, in float32, with seeds of their own."""
    with ExitStack() as stack:
        with ThreadPoolExecutor(RUNS) as starting:  # at once: each of them imports torch
            made = starting.map(
                lambda seed: OwnProcess(1, made_run, {**cifar_settings(), "seed": seed}, device), range(RUNS)
            )
            runs = [stack.enter_context(process) for process in made]
        yield Comparison(
            what=f"{RUNS} trainings at once on one GPU, unet_cifar32, batch 4, fp32",
            peer="the same ones one after another",
            ours=lambda: all_at_once(runs, STEPS),
            theirs=lambda: one_after_another(runs, STEPS),
            work=RUNS * STEPS,
            unit="steps",
            check=lambda: float(
                all_at_once(runs, CHECKED_STEPS, True) != one_after_another(runs, CHECKED_STEPS, True)
            ),
            tolerance=0.0,
            equality=f"the weights of each run after {CHECKED_STEPS} steps have the same bytes, alone and beside the others",
            bar=3.0,
            note="Each run is a process, and they share the GPU through NVIDIA's Multi-Process Service (docs/gpu.md).",
        )


def all_at_once(runs: list[OwnProcess], *arguments: Any) -> list[Any]:
    for run in runs:
        run.start(*arguments)
    return [run.result() for run in runs]


def one_after_another(runs: list[OwnProcess], *arguments: Any) -> list[Any]:
    return [run(*arguments) for run in runs]


def made_run(settings: dict[str, Any], device: torch.device) -> Callable[..., str | None]:
    """A training that goes on by so many steps when called, or begins anew and then tells the sha256 of its weights."""
    require_float32()
    require_determinism(device)
    settings = {**settings, "arm": "E1_baseline_linear"}
    images, loop = random_images(), None

    def run(steps: int, anew: bool = False) -> str | None:
        nonlocal loop
        if anew or loop is None:
            loop = OurLoop(our_network(settings, settings["seed"]), images, settings, device)
        loop.run(steps)
        weights = loop.state.weights.values.detach().cpu()  # waits for the device
        return sha256(weights.numpy().tobytes()).hexdigest() if anew else None

    return run
