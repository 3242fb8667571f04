"""Draw images from a checkpoint's EMA weights at one point.

Settings: model; data {image_size, channels}; diffusion; sampling {batch_size, clip_x_start, precision}; point
{sampler, eta, nfe}; num_samples; seed. Input: checkpoint. Output: samples (npz, `images` u8 [N, H, W, C] in
sample order).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch

from workflow_scripts.core.chunks import Arrays, ChunkedWork
from workflow_scripts.core.errors import NotFiniteError
from workflow_scripts.core.files import sha256_file, write_npz
from workflow_scripts.core.step import Step, run
from workflow_scripts.data.images import to_uint8
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.nets.precision import Network, can_compile, frozen
from workflow_scripts.sampling.noise import DeviceNoise, SampleNoise
from workflow_scripts.sampling.sample import SamplingLoop
from workflow_scripts.training.checkpoints import load_ema_model
from workflow_scripts.training.device import device_of, kind_of, require_determinism

# These settings and the checkpoint's content decide every pixel. `num_samples` decides how many there are
# and, through that, whether the network is compiled, which changes the last bits.
DECIDES = ("seed", "model", "data", "diffusion", "point")
# From this many images times calls on, a GPU's network is compiled: a smaller set would gain too little
# (docs/gpu.md).
COMPILED_FROM = 500_000


def main(step: Step) -> None:
    """Draw `num_samples` images batch by batch and write them as uint8; none of a run that is not finite."""
    sampler = _Sampler(step)
    key = {
        **{name: step.setting(name) for name in DECIDES},
        **{name: step.setting(f"sampling.{name}") for name in ("clip_x_start", "precision")},
        "checkpoint": sha256_file(step.input("checkpoint")),
        "code": step.code_sha256,
        "device": kind_of(sampler.device),
        "compiled": sampler.compiles,
    }
    # One chunk per batch, since a network's convolutions may round differently for another batch size.
    work = ChunkedWork(step, "samples", step.setting("num_samples"), step.setting("sampling.batch_size"), key)
    try:
        batches = work.complete(sampler.draw, sampler.title)
        images = np.concatenate([batch["images"] for batch in batches])
    except NotFiniteError as error:
        step.say(f"{error}; the file holds no images, and the report says so")
        work.discard()
        channels, *sides = sampler.shape
        images = np.empty((0, *sides, channels), dtype=np.uint8)
    write_npz(step.output("samples"), images=images)


class _Sampler:
    """Draws batches; loads the network only if an interrupted job left a batch to draw."""

    def __init__(self, step: Step):
        self.step, point = step, step.setting("point")
        self.settings, self.nfe = {"name": point["sampler"], "eta": point["eta"]}, point["nfe"]
        eta = self.settings.get("eta")
        self.title = f"{self.settings['name']}{'' if eta is None else f' eta {eta:g}'}, NFE {self.nfe}"
        self.device = device_of(step)
        if self.device.type == "cuda":
            # Only there: a CPU's forward pass is always deterministic, and the check costs 0.7 s of start-up.
            require_determinism(self.device)
        work = step.setting("num_samples") * self.nfe
        self.compiles = work >= COMPILED_FROM and can_compile(self.device)
        if self.device.type == "cuda":
            # For the manifest: images with and without agree to rounding only.
            step.machine["compiled"] = "yes" if self.compiles else "no"
        side, channels = step.setting("data.image_size"), step.setting("data.channels")
        self.shape = (channels, side, side)
        # For the latest batch size: all batches but the last share one, for which a GPU records both once.
        self._made_for = 0

    @cached_property
    def network(self) -> Network:
        # A network used with another schedule or prediction type would run without an error and draw wrong
        # images.
        must_agree = ("seed", "model", "diffusion")
        network = load_ema_model(self.step.input("checkpoint"), self.step.settings, must_agree)
        if self.compiles:
            self.step.say("compiling the network for this GPU")
        return frozen(network, self.device, self.step.setting("sampling.precision"), self.compiles)

    @torch.inference_mode()
    def draw(self, batch: range, on_images: Callable[[int], None]) -> Arrays:
        """Draw `images` u8 [B, H, W, C] of the samples with these numbers."""
        if len(batch) != self._made_for:
            self._make_for(len(batch))
        noise = self._noise_of(batch)

        def on_call(calls_done: int) -> None:
            # Part of a batch counts as that share of its images, so that slow batches show progress too.
            on_images(len(batch) * calls_done // self.nfe)

        try:
            x_start = self._loop.draw(noise.x_T, noise.step, on_call)
        except NotFiniteError as error:
            raise NotFiniteError(f"{self.step.input('checkpoint')}: {error}") from error
        return {"images": to_uint8(x_start)}

    def _make_for(self, batch_size: int) -> None:
        diffusion = GaussianDiffusion.from_settings(self.step.setting("diffusion")).to(self.device)
        like = torch.empty(batch_size, *self.shape, device=self.device)
        clip_x_start = self.step.setting("sampling.clip_x_start")
        self._loop = SamplingLoop(self.network, diffusion, self.settings, self.nfe, like, clip_x_start)
        if self.device.type == "cuda":
            self._noise = DeviceNoise(self.step.setting("seed"), batch_size, self.shape, self.device)
        self._made_for = batch_size

    def _noise_of(self, batch: range) -> SampleNoise | DeviceNoise:
        if self.device.type == "cuda":
            return self._noise.start(batch)
        return SampleNoise(self.step.setting("seed"), batch, self.shape)


if __name__ == "__main__":
    run(main)
