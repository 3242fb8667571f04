"""Training steps: our loop and U-Net against diffusers' U-Net of equal size in the loop of its examples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel
from hardware import precisions
from networks import Plain, as_a_step, cifar_settings, our_network, size, their_network
from own_process import OwnProcess
from side_by_side import Comparison
from torch import Tensor, nn

from workflow_scripts.data.images import to_float
from workflow_scripts.methods.diffusion import Diffusion
from workflow_scripts.training.batches import Order
from workflow_scripts.training.log import TrainingLog
from workflow_scripts.training.step import TrainingStep, state_of

Batch = Callable[[], tuple[Tensor, Tensor, Tensor]]
CHECKED_STEPS = 8  # a GPU replays the last of them


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Batch 4 and 128 in fp32 and, where there are units for it, bf16.

    On a CPU ours is timed with one run on all threads, and with one run per thread, as the pipeline trains a
    study.
    """
    on_cpu = device.type == "cpu"
    for batch_size, steps in ((4, 8 if on_cpu else 12), (128, 1 if on_cpu else 10)):
        for precision in precisions(device.type):
            for runs in sorted({1, torch.get_num_threads()}) if on_cpu else (1,):
                yield from _comparison(device, batch_size, steps, precision, runs)


def _comparison(
    device: torch.device, batch_size: int, steps: int, precision: str, runs: int
) -> Iterator[Comparison]:
    """`steps` updates of each of `runs` runs of ours, against as many of theirs in one run."""
    settings = {**cifar_settings(), "seed": 0, "arm": "E1_baseline_linear"}
    settings["training"] = {**settings["training"], "batch_size": batch_size, "precision": precision}
    network = their_network(settings)
    (our_count, our_flop), (their_count, their_flop) = size(our_network(settings)), size(network)
    if device.type == "cpu":
        bar = 1.5 if precision == "fp32" else 2.5
    else:
        bar = 6.0 if batch_size == 4 and precision == "fp32" else None
    yours = TheirLoop(network, random_images(), settings, device)
    with our_loops(settings, device, runs) as run:
        yield Comparison(
            what=f"training step, unet_cifar32, batch {batch_size}, {precision}"
            + (f", {runs} runs at once" if runs > 1 else ""),
            peer="diffusers' UNet2DModel of equal size and depth, its EMAModel, Adam, fp32, eager",
            ours=lambda: run(steps),
            theirs=lambda: yours.run(runs * steps),
            work=runs * steps,
            unit="steps",
            check=lambda: distance_of_loops(settings, random_images(), device),
            # Adam divides each gradient by its own size, so rounding decides the sign of small ones.
            tolerance=1e-3 if precision == "fp32" else 5e-2,
            equality=f"difference of EMA networks' outputs after {CHECKED_STEPS} steps of diffusers' U-Net "
            f"without dropout in both loops; ours has {our_count / 1e6:.3f} M parameters and "
            f"{our_flop / 1e9:.3f} GFLOP per image, diffusers' {their_count / 1e6:.3f} M and "
            f"{their_flop / 1e9:.3f}",
            bar=bar,
        )


@contextmanager
def our_loops(settings: dict[str, Any], device: torch.device, runs: int) -> Iterator[Callable[[int], None]]:
    """Updates of each run: on a CPU in a process per run, on a GPU in this process."""
    if device.type != "cpu":
        yield made_loop(settings, device)
        return
    with ExitStack() as stack:
        threads = torch.get_num_threads() // runs
        loops = [stack.enter_context(OwnProcess(threads, made_loop, settings, device)) for _ in range(runs)]

        def run(steps: int) -> None:
            for loop in loops:
                loop.start(steps)
            for loop in loops:
                loop.result()

        yield run


def made_loop(settings: dict[str, Any], device: torch.device) -> Callable[[int], None]:
    return OurLoop(our_network(settings), random_images(), settings, device).run


def random_images() -> np.ndarray:
    """u8 [1024, 32, 32, 3], always the same."""
    return np.random.default_rng(0).integers(0, 256, (1024, 32, 32, 3), dtype=np.uint8)


def distance_of_loops(settings: dict[str, Any], images: np.ndarray, device: torch.device) -> float:
    """Difference of the EMA networks' outputs, relative to how far training moved them."""
    settings = {**settings, "model": {**settings["model"], "dropout": 0.0}}
    network = their_network(settings)
    mine = OurLoop(Plain(copy.deepcopy(network)), images, settings, device)
    order = Order(len(images), settings["seed"], settings["training"]["batch_size"])
    numbers = iter(range(CHECKED_STEPS))

    def drawn(number: int) -> tuple[Tensor, Tensor, Tensor]:
        batch = Diffusion(settings).draw(number)
        return to_float(images[order.indices(number)]), batch["t"], batch["noise"]

    yours = TheirLoop(copy.deepcopy(network), images, settings, device, lambda: drawn(next(numbers)))
    mine.run(CHECKED_STEPS)
    yours.run(CHECKED_STEPS)
    x, t, _ = (tensor.to(device) for tensor in drawn(CHECKED_STEPS))
    x, t = x[:4], t[:4]
    yours.ema.copy_to(yours.network.parameters())
    with torch.no_grad():
        ours, theirs = mine.state.ema.model.eval()(x, t), Plain(yours.network.eval())(x, t)
        start = Plain(network.to(device).eval())(x, t)
    return ((ours - theirs).norm() / (theirs - start).norm()).item()


class OurLoop:
    """What the pipeline's training does per update, log included."""

    def __init__(
        self, network: nn.Module, images: np.ndarray, settings: dict[str, Any], device: torch.device
    ):
        self.state = state_of(Diffusion(settings), {"model": network}, settings["training"], device)
        self.state.model.train()
        self.step = TrainingStep(self.state, {"images": images}, settings)
        self.log = TrainingLog(settings["training"]["log_every"], self.state.method.columns)

    def run(self, steps: int) -> None:
        with as_a_step(self.step.values.device):
            for _ in range(steps):
                self.step.run()
                self.log.add(self.state.step, self.step.values)


class TheirLoop:
    """diffusers' unconditional training example without its accelerator and data loader, which cost time.

    `batch` gives (x_start, t, noise); by default images are drawn from a float tensor on the device.
    """

    def __init__(
        self,
        network: nn.Module,
        images: np.ndarray,
        settings: dict[str, Any],
        device: torch.device,
        batch: Batch | None = None,
    ):
        training, diffusion = settings["training"], settings["diffusion"]
        self.network, self.device = network.to(device).train(), device
        self.batch_size, self.max_norm = training["batch_size"], training["grad_clip_norm"]
        betas = (diffusion["beta_start"], diffusion["beta_end"])
        self.scheduler = DDPMScheduler(diffusion["num_timesteps"], *betas, diffusion["schedule"])
        self.optimizer = torch.optim.Adam(network.parameters(), lr=training["learning_rate"])
        # As its examples do, but with a decay that does not warm up, since ours does not.
        decay = training["ema_decay"]
        self.ema = EMAModel(network.parameters(), decay=decay, min_decay=decay, update_after_step=-1)
        self.images = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1).to(device)
        self.batch = batch or self._draw

    def _draw(self) -> tuple[Tensor, Tensor, Tensor]:
        x_start = self.images[torch.randint(len(self.images), (self.batch_size,), device=self.device)]
        t = torch.randint(1000, (self.batch_size,), device=self.device)
        return x_start, t, torch.randn_like(x_start)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            x_start, t, noise = (tensor.to(self.device) for tensor in self.batch())
            x_t = self.scheduler.add_noise(x_start, noise, t)
            output = self.network(x_t, t)
            loss = nn.functional.mse_loss(getattr(output, "sample", output), noise)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.ema.step(self.network.parameters())
