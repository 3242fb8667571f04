"""Generation at one point, batch by batch: noise, labels, and the sampler that the point names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.capture import send
from workflow_scripts.data.images import to_uint8
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.nets.precision import Network, can_compile
from workflow_scripts.sampling.conditional import DirectSampling, of_classes
from workflow_scripts.sampling.noise import DeviceNoise, SampleNoise
from workflow_scripts.sampling.sample import SamplingLoop

# From this many images times calls on, a GPU's network is compiled: a smaller set would gain too little
# (docs/gpu.md).
COMPILED_FROM = 500_000


def compiles(settings: Mapping[str, Any], device: torch.device) -> bool:
    """Whether the network is compiled to draw `num_samples` images at `point`."""
    return settings["num_samples"] * settings["point"]["nfe"] >= COMPILED_FROM and can_compile(device)


class Generator:
    """Draws images at the `point` of `settings`, as sample_images lists them, on `device`.

    `load` returns the network there; it is called at the first batch, so that a job with nothing left to draw
    loads none. Of classes, sample number i has the class i modulo their number.
    """

    def __init__(self, settings: Mapping[str, Any], load: Callable[[], Network], device: torch.device):
        self._settings, self._load, self._device = settings, load, device
        self._point, data = settings["point"], settings["data"]
        self._scale = self._point.get("guidance_scale", 1)
        self._num_steps = self._point["nfe"] // (1 if self._scale == 1 else 2)
        eta, guided = self._point["eta"], "" if self._scale == 1 else f", guidance {self._scale:g}"
        self.title = f"{self._point['sampler']}{'' if eta is None else f' eta {eta:g}'}{guided}"
        self.title += f", NFE {self._point['nfe']}"
        self._num_classes = data["num_classes"] if settings["method"].get("condition") == "class" else None
        self._is_direct, side = self._point["sampler"] == "direct", data["image_size"]
        latents = (settings["model"]["latent_dim"], 1, 1) if self._is_direct else None
        self._shape = (data["channels"], side, side)
        self._noise_shape = latents or self._shape
        # For the latest batch size: all batches but the last share one, for which a GPU records both once.
        self._made_for = 0

    @property
    def nothing(self) -> dict[str, np.ndarray]:
        """The arrays of a batch of no images."""
        channels, *sides = self._shape
        arrays = {"images": np.empty((0, *sides, channels), dtype=np.uint8)}
        return arrays | ({} if self._num_classes is None else {"labels": np.empty(0, dtype=np.int64)})

    @torch.inference_mode()
    def draw(self, batch: range, on_images: Callable[[int], None] | None = None) -> dict[str, np.ndarray]:
        """Draw `images` u8 [B, H, W, C], and of classes `labels` i64 [B], of the samples with these numbers.

        `on_images` gets the number of images done; part of a batch counts as that share of its images.
        NotFiniteError when a prediction is not finite.
        """
        if len(batch) != self._made_for:
            self._make_for(len(batch))
        labels = {}
        if self._num_classes is not None:
            labels["labels"] = np.arange(batch.start, batch.stop) % self._num_classes
            send(torch.from_numpy(labels["labels"]), self._labels)
        noise = self._noise_of(batch)

        def on_step(steps_done: int) -> None:
            if on_images is not None:
                on_images(len(batch) * steps_done // self._num_steps)

        return {"images": to_uint8(self._loop.draw(noise.x_T, noise.step, on_step)), **labels}

    @cached_property
    def _network(self) -> Network:
        return self._load()

    def _make_for(self, batch_size: int) -> None:
        like = torch.empty(batch_size, *self._noise_shape, device=self._device)
        network, self._labels = self._network, None
        if self._num_classes is not None:
            self._labels = torch.zeros(batch_size, dtype=torch.int64, device=self._device)
        if self._is_direct:
            images = torch.empty(batch_size, *self._shape, device=self._device)
            self._loop = DirectSampling(network, like, images, self._labels)
        else:
            if self._labels is not None:
                network = of_classes(network, self._labels, self._num_classes, self._scale)
            self._loop = self._chain(network, like)
        if self._device.type == "cuda":
            self._noise = DeviceNoise(self._settings["seed"], batch_size, self._noise_shape, self._device)
        self._made_for = batch_size

    def _chain(self, network: Callable[[Tensor, Tensor], Tensor], like: Tensor) -> SamplingLoop:
        diffusion = GaussianDiffusion.from_settings(self._settings["diffusion"]).to(self._device)
        sampler = {"name": self._point["sampler"], "eta": self._point["eta"]}
        clip_x_start = self._settings["sampling"]["clip_x_start"]
        return SamplingLoop(network, diffusion, sampler, self._num_steps, like, clip_x_start)

    def _noise_of(self, batch: range) -> SampleNoise | DeviceNoise:
        if self._device.type == "cuda":
            return self._noise.start(batch)
        return SampleNoise(self._settings["seed"], batch, self._noise_shape)
