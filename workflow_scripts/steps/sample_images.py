"""Draw images from a checkpoint's EMA weights with one sampler at one NFE.

Settings: model; data {image_size, channels}; diffusion; sampling {num_samples, batch_size, clip_x_start, precision,
memory_format}; sampler {name, eta}; nfe; seed. Input: checkpoint. Output: samples (npz, `images` u8 [N, H, W, C] in sample
order).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.chunks import Arrays, ChunkedWork
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_file, write_npz
from workflow_scripts.core.step import Step, run
from workflow_scripts.data.images import to_uint8
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.nets.compiled import can_compile
from workflow_scripts.nets.frozen import frozen
from workflow_scripts.nets.winograd import can_transform
from workflow_scripts.sampling.noise import DeviceNoise, SampleNoise
from workflow_scripts.sampling.sample import SamplingLoop
from workflow_scripts.training.device import device_of, kind_of, require_determinism
from workflow_scripts.training.ema_model import load_ema_model

# The checkpoint, by its content, and these settings decide every pixel; `num_samples` only says how many there are,
# and by that whether the network is made faster first, which changes the last bits.
DECIDES = ("seed", "model", "data", "diffusion", "sampler", "nfe")
# From so many images times calls on, a GPU's network is compiled: a smaller set would gain too little (docs/gpu.md).
COMPILED_FROM = 500_000
# From so many pixels times calls on, a CPU's convolutions are Winograd's: each job takes a second longer to begin with them,
# and the preregistered network saves as much in a million (docs/performance.md).
WINOGRAD_FROM = 20_000_000


def main(step: Step) -> None:
    """Draw `sampling.num_samples` images batch by batch and write them as uint8."""
    sampler = _Sampler(step)
    key = {
        **{name: step.setting(name) for name in DECIDES},
        **{name: step.setting(f"sampling.{name}") for name in ("clip_x_start", "precision")},
        "checkpoint": sha256_file(step.input("checkpoint")),
        "code": step.code_sha256,
        "device": kind_of(sampler.device),
        "compiled": sampler.compiles,
        "winograd": sampler.transforms,
    }
    # A chunk is a batch: for another batch size a network's convolutions may round differently.
    work = ChunkedWork(
        step, "samples", step.setting("sampling.num_samples"), step.setting("sampling.batch_size"), key
    )
    batches = work.complete(sampler.draw, sampler.title)
    write_npz(step.output("samples"), images=np.concatenate([batch["images"] for batch in batches]))


class _Sampler:
    """Draws batches; the network is loaded for the first one, and not at all if an interrupted job drew them all."""

    def __init__(self, step: Step):
        self.step, self.settings, self.nfe = step, step.setting("sampler"), step.setting("nfe")
        eta = self.settings.get("eta")
        self.title = f"{self.settings['name']}{'' if eta is None else f' eta {eta:g}'}, NFE {self.nfe}"
        self.device = device_of(step)
        if (
            self.device.type == "cuda"
        ):  # a CPU's forward pass is the same every time, and asking costs 0.7 s of start-up
            require_determinism(self.device)
        # Of the whole set, however much an interrupted job has done: how it is computed must not depend on that.
        work = step.setting("sampling.num_samples") * self.nfe
        self.compiles = work >= COMPILED_FROM and can_compile(self.device)
        pixels = step.setting("data.image_size") ** 2
        sampling = step.setting("sampling")
        precision, memory_format = sampling["precision"], sampling.get("memory_format", "contiguous")
        self.transforms = work * pixels >= WINOGRAD_FROM and can_transform(
            self.device, precision, memory_format
        )
        # for the manifest: with and without, images agree to rounding only
        if self.device.type == "cuda":
            step.machine["compiled"] = "yes" if self.compiles else "no"
        if self.transforms:
            step.machine["winograd"] = "yes"
        # The last ones, by their batch's size: every batch but the last has the same, for which a GPU records them once.
        self._loops: dict[int, SamplingLoop] = {}
        self._noises: dict[int, DeviceNoise] = {}

    @cached_property
    def network(self) -> Callable[[Tensor, Tensor], Tensor]:
        # A network read with another schedule or prediction type runs without an error and draws wrong images.
        must_agree = ("seed", "model", "diffusion")
        network = load_ema_model(self.step.input("checkpoint"), self.step.settings, must_agree)
        precision, memory_format = (
            self.step.setting("sampling.precision"),
            self.step.setting("sampling").get("memory_format", "contiguous"),
        )
        if self.compiles:
            self.step.say("compiling the network for this GPU")
        return frozen(network, self.device, precision, memory_format, self.compiles, self.transforms)

    @cached_property
    def diffusion(self) -> GaussianDiffusion:
        return GaussianDiffusion.from_settings(self.step.setting("diffusion")).to(self.device)

    @torch.inference_mode()
    def draw(self, batch: range, on_images: Callable[[int], None]) -> Arrays:
        """`images` u8 [B, H, W, C] of the samples with these numbers."""
        noise = self._noise(batch)

        def on_call(calls_done: int) -> None:
            # Part of a batch counts as that share of its images, so that slow batches show life as well.
            on_images(len(batch) * calls_done // self.nfe)

        x_T = noise.x_T.to(self.device)
        try:
            x_start = self._loop(x_T).draw(x_T, noise.step, on_call)
        except PipelineError as error:
            raise PipelineError(f"{self.step.input('checkpoint')}: {error}") from error
        return {"images": to_uint8(x_start)}

    def _noise(self, batch: range) -> SampleNoise | DeviceNoise:
        seed, side, channels = (
            self.step.setting(name) for name in ("seed", "data.image_size", "data.channels")
        )
        shape = (channels, side, side)
        if self.device.type == "cpu":
            return SampleNoise(seed, batch, shape)
        if len(batch) not in self._noises:
            self._noises = {len(batch): DeviceNoise(seed, len(batch), shape, self.device)}
        return self._noises[len(batch)].start(batch)

    def _loop(self, x_T: Tensor) -> SamplingLoop:
        if len(x_T) not in self._loops:
            clip_x_start = self.step.setting("sampling.clip_x_start")
            self._loops = {
                len(x_T): SamplingLoop(
                    self.network, self.diffusion, self.settings, self.nfe, x_T, clip_x_start
                )
            }
        return self._loops[len(x_T)]


if __name__ == "__main__":
    run(main)
