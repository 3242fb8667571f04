"""Sampling with 50 network calls: ours against diffusers' pipelines with the same weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler
from hardware import precisions
from networks import as_a_step, cifar_settings, our_network
from own_process import OwnProcess
from side_by_side import Comparison
from torch import Tensor, nn

from workflow_scripts.data.images import to_uint8
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.nets.precision import can_compile, frozen
from workflow_scripts.sampling.noise import DeviceNoise, SampleNoise
from workflow_scripts.sampling.sample import SamplingLoop

NFE, SHAPE = 50, (3, 32, 32)
CPU_BATCH, GPU_BATCH = 50, 500  # as the presets for each
SAMPLERS = {"ddpm": {"name": "ddpm", "eta": None}, "ddim": {"name": "ddim", "eta": 0.0}}


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Both samplers, with our network in fp32 and, where there are units for it, bf16; the pipelines in fp32.

    On a CPU ours draws as the pipeline does, a batch of 50 in each job of one thread, a job per core;
    diffusers draws one batch after the other with all threads.
    """
    on_cpu = device.type == "cpu"
    batch, batches = (CPU_BATCH, torch.get_num_threads()) if on_cpu else (GPU_BATCH, 1)
    num_images = batch * batches
    settings = cifar_settings()
    network = our_network(settings).to(device).eval()
    for name in SAMPLERS:
        for precision in precisions(device.type):
            mine = OurSampling(network, settings, name, precision, device)
            yours = TheirPipeline(network, settings, name, device)
            with our_jobs(mine, settings, name, precision) as draw:
                yield Comparison(
                    what=f"sampling, {name.upper()}, {NFE} NFE, 32x32, {precision}",
                    peer=f"diffusers' {type(yours.pipeline).__name__} with the same network weights, fp32",
                    ours=lambda draw=draw: draw(num_images),
                    theirs=lambda yours=yours: [yours.draw(batch) for _ in range(batches)],
                    work=num_images,
                    unit="images",
                    check=lambda mine=mine, yours=yours: distance(mine, yours, 4 if on_cpu else num_images),
                    # One of 255 grey levels is 0.008 of the range of 2; in bf16 outputs have three digits.
                    tolerance=1e-4 if precision == "fp32" else 0.1,
                    equality="root mean square difference of images in [-1, 1] from the same noise",
                    bar={"fp32": 2.0, "bf16": 3.0}[precision] if on_cpu else 3.0,
                )


@contextmanager
def our_jobs(
    mine: OurSampling, settings: dict[str, Any], sampler: str, precision: str
) -> Iterator[Callable[[int], np.ndarray]]:
    """Draw images as the pipeline does: on a CPU in one job of one thread per core, on a GPU in one job."""
    device = mine.device
    if device.type != "cpu":
        yield lambda count: mine.draw(range(count))
        return
    with ExitStack() as stack:
        arguments = (1, made_job, settings, sampler, precision, device)
        jobs = [stack.enter_context(OwnProcess(*arguments)) for _ in range(torch.get_num_threads())]

        def draw_in_jobs(count: int) -> np.ndarray:
            for number, job in enumerate(jobs):
                job.start(range(number * count // len(jobs), (number + 1) * count // len(jobs)))
            return np.concatenate([job.result() for job in jobs])

        yield draw_in_jobs


def made_job(
    settings: dict[str, Any], sampler: str, precision: str, device: torch.device
) -> Callable[[Sequence[int]], np.ndarray]:
    return OurSampling(our_network(settings).to(device).eval(), settings, sampler, precision, device).draw


class OurSampling:
    """What sample_images does with one batch."""

    def __init__(
        self, network: nn.Module, settings: dict[str, Any], sampler: str, precision: str, device: torch.device
    ):
        self.network = frozen(copy.deepcopy(network), device, precision, can_compile(device))
        self.device, self.sampler = device, SAMPLERS[sampler]
        self.diffusion = GaussianDiffusion.from_settings(settings["diffusion"]).to(device)
        self._noises: dict[int, DeviceNoise] = {}
        self._loops: dict[int, SamplingLoop] = {}

    @torch.inference_mode()
    def images(self, x_T: Tensor, noise_fn: Callable[[int], Tensor]) -> Tensor:
        """x_0 [B, C, H, W]; the loop is kept for batches of one size, as sample_images keeps it."""
        x_T = x_T.to(self.device)
        if len(x_T) not in self._loops:
            self._loops[len(x_T)] = SamplingLoop(self.network, self.diffusion, self.sampler, NFE, x_T, True)
        with as_a_step(self.device):
            return self._loops[len(x_T)].draw(x_T, noise_fn)

    @torch.inference_mode()
    def draw(self, indices: Sequence[int]) -> np.ndarray:
        noise = self._noise(indices)
        return to_uint8(self.images(noise.x_T, noise.step))

    def _noise(self, indices: Sequence[int]) -> SampleNoise | DeviceNoise:
        if self.device.type == "cpu":
            return SampleNoise(0, indices, SHAPE)
        if len(indices) not in self._noises:
            self._noises[len(indices)] = DeviceNoise(0, len(indices), SHAPE, self.device)
        return self._noises[len(indices)].start(indices)


class TheirPipeline:
    """diffusers' pipeline, set to the same timesteps, variance and clipping as ours."""

    def __init__(self, network: nn.Module, settings: dict[str, Any], sampler: str, device: torch.device):
        diffusion = settings["diffusion"]
        schedule = {
            "num_train_timesteps": diffusion["num_timesteps"],
            "beta_start": diffusion["beta_start"],
            "beta_end": diffusion["beta_end"],
            "beta_schedule": diffusion["schedule"],
            "timestep_spacing": "trailing",
            "clip_sample": True,
        }
        wrapped = AsTheirs(network, settings["data"])
        if sampler == "ddpm":
            self.pipeline = DDPMPipeline(wrapped, DDPMScheduler(**schedule, variance_type="fixed_small"))
            self.options: dict[str, Any] = {}
        else:
            self.pipeline = DDIMPipeline(wrapped, DDIMScheduler(**schedule))
            # Where x_start was clipped, the noise follows from it, as in our DDIM.
            self.options = {"eta": 0.0, "use_clipped_model_output": True}
        self.pipeline.set_progress_bar_config(disable=True)

    def draw(self, count: int, generator: torch.Generator | None = None) -> np.ndarray:
        options = {"num_inference_steps": NFE, "generator": generator, "output_type": "np", **self.options}
        images = self.pipeline(batch_size=count, **options).images
        return images if generator is not None else (images * 255).round().astype(np.uint8)


class AsTheirs(nn.Module):
    """Our network with the interface of diffusers' UNet2DModel, which its pipelines call."""

    def __init__(self, network: nn.Module, data: dict[str, Any]):
        super().__init__()
        self.network = network
        self.config = SimpleNamespace(in_channels=data["channels"], sample_size=data["image_size"])

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def forward(self, x: Tensor, t: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=self.network(x, t.expand(len(x)).to(x.device)))


def distance(mine: OurSampling, yours: TheirPipeline, count: int = 4) -> float:
    """Difference of the images when both draw their noise from one generator, in the pipeline's order."""
    theirs = torch.from_numpy(yours.draw(count, torch.Generator().manual_seed(0))).permute(0, 3, 1, 2) * 2 - 1
    generator = torch.Generator().manual_seed(0)
    shape = (count, *SHAPE)
    x_T = torch.randn(shape, generator=generator)
    ours = mine.images(x_T, lambda k: torch.randn(shape, generator=generator)).float().cpu().clamp(-1, 1)
    return (ours - theirs).square().mean().sqrt().item()
