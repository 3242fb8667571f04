"""Training steps: our loop and U-Net against diffusers' U-Net of equal size in the loop of its examples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from as_a_step import as_a_step
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel
from hardware import precisions
from matrix_rate import matrix_product
from networks import Plain, cifar_settings, our_network, size, their_network, training_flop
from own_process import OwnProcess
from side_by_side import Comparison
from torch import Tensor, nn

from workflow_scripts.data.images import to_float
from workflow_scripts.training.batches import Batches
from workflow_scripts.training.log import TrainingLog
from workflow_scripts.training.step import TrainingStep, state_of

Batch = Callable[[], tuple[Tensor, Tensor, Tensor]]
CHECKED_STEPS = 8  # of which the last are replayed
AS_A_STEP = "Ours runs as a step of the pipeline does, told to keep freed memory; diffusers' has malloc's defaults, as for its users."
AS_A_STUDY = (
    "Ours trains as the pipeline trains the runs of a study on a CPU, as many at once as there are cores, with one thread each, "
    "and what counts are the steps of all; diffusers' loop trains one run with all threads, as its users' scripts do."
)


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Batch 4 and 128 in fp32 and, where there are units for it, bf16.

    On a CPU ours is timed twice, one run with all threads and as many runs as threads; and there is batch 4 with one network
    on both sides, which leaves the loops alone.
    """
    on_cpu = device.type == "cpu"
    for batch_size, steps in ((4, 8 if on_cpu else 12), (128, 1 if on_cpu else 10)):
        for precision in precisions(device.type):
            for runs in sorted({1, torch.get_num_threads()}) if on_cpu else (1,):
                yield from _comparison(device, batch_size, steps, precision, their_network, runs)
    if on_cpu:
        yield from _comparison(device, 4, 8, "fp32", None, 1)


def _comparison(
    device: torch.device, batch_size: int, steps: int, precision: str, their_model: Callable | None, runs: int
) -> Iterator[Comparison]:
    """`steps` updates of each of `runs` runs of ours, against as many of theirs in one run."""
    on_cpu = device.type == "cpu"
    settings = cifar_settings()
    settings = {**settings, "seed": 0, "arm": "E1_baseline_linear"}
    settings["training"] = {**settings["training"], "batch_size": batch_size, "precision": precision}
    network = our_network(settings)
    other = copy.deepcopy(network) if their_model is None else their_model(settings)
    setting = "" if not on_cpu else AS_A_STEP if runs == 1 else f"{AS_A_STUDY} {AS_A_STEP}"
    if their_model is None:
        peer, bar = "the same network in the loop of diffusers' examples", None
        note = (
            f"One network on both sides, so what the loop gives, and on a CPU the memory: {setting}".strip()
        )
    else:
        (our_count, our_flop), (their_count, their_flop) = size(network), size(other)
        peer = "diffusers' UNet2DModel of equal size and depth, its EMAModel, Adam, fp32, eager"
        bar = (
            (1.5 if precision == "fp32" else 2.5)
            if on_cpu
            else 6.0
            if batch_size == 4 and precision == "fp32"
            else None
        )
        note = (
            f"Ours has {our_count / 1e6:.3f} M parameters and {our_flop / 1e9:.3f} GFLOP a forward pass and image, "
            f"diffusers' {their_count / 1e6:.3f} M and {their_flop / 1e9:.3f}. {setting}".strip()
        )
    product, product_flop = matrix_product(precision, device)
    work = runs * steps
    yours = TheirLoop(other, random_images(), settings, device)
    with our_loops(settings, device, runs) as run:
        yield Comparison(
            what=f"training step, unet_cifar32, batch {batch_size}, {precision}"
            + (f", {runs} runs at once" if runs > 1 else ""),
            peer=peer,
            ours=lambda: run(steps),
            theirs=lambda: yours.run(work),
            work=work,
            unit="steps",
            check=lambda: distance_of_loops(settings, random_images(), device),
            # Adam divides each gradient by its own size, so that rounding decides the direction of those near zero.
            tolerance=1e-3 if precision == "fp32" else 5e-2,
            equality=(
                f"one network (diffusers', no dropout) in both loops on the same {CHECKED_STEPS} batches: relative distance of "
                "what the EMA weights predict"
                + ("" if precision == "fp32" else "; ours in bf16, theirs in fp32")
            ),
            bar=bar,
            note=note,
            arithmetic=(product, work * batch_size * training_flop(network) / product_flop),
        )


@contextmanager
def our_loops(settings: dict[str, Any], device: torch.device, runs: int) -> Iterator[Callable[[int], None]]:
    """So many updates of each run: on a CPU as steps of the pipeline, on a GPU in this process, which has its context."""
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
    """How far the EMA networks' outputs are apart after the same steps, relative to how far training moved them."""
    settings = {**settings, "model": {**settings["model"], "dropout": 0.0}}
    network = their_network(settings)
    mine = OurLoop(Plain(copy.deepcopy(network)), images, settings, device)
    batches = Batches(images.shape, settings["seed"], settings["training"]["batch_size"], 1000)
    numbers = iter(range(CHECKED_STEPS))

    def drawn(number: int) -> tuple[Tensor, Tensor, Tensor]:
        indices, t, noise = batches.draw(number)
        return to_float(images[indices.numpy()]), t, noise.clone()

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
    """What the pipeline's training does per update, the log included, going on from call to call."""

    def __init__(
        self, network: nn.Module, images: np.ndarray, settings: dict[str, Any], device: torch.device
    ):
        self.state = state_of(network.to(device), settings["training"])
        self.state.model.train()
        self.step, self.log = (
            TrainingStep(self.state, images, settings),
            TrainingLog(settings["training"]["log_every"]),
        )

    def run(self, steps: int) -> None:
        with as_a_step(self.step.values.device):
            for _ in range(steps):
                self.step.run()
                self.log.add(self.state.step, self.step.values)


class TheirLoop:
    """The unconditional training example of diffusers, its accelerator and data loader left out: they only cost time.

    `batch` gives (x_start, t, noise); by default images are drawn from a float tensor on the device, which is the least
    that any data loader does.
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
        self.scheduler = DDPMScheduler(
            diffusion["num_timesteps"],
            diffusion["beta_start"],
            diffusion["beta_end"],
            beta_schedule=diffusion["schedule"],
        )
        self.optimizer = torch.optim.Adam(network.parameters(), lr=training["learning_rate"])
        # As its examples do but with a decay that does not warm up, since ours does not.
        self.ema = EMAModel(
            network.parameters(),
            decay=training["ema_decay"],
            min_decay=training["ema_decay"],
            update_after_step=-1,
        )
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
