"""Draw images from a checkpoint's EMA weights with one sampler at one NFE.

Settings: model; data {image_size, channels}; diffusion; sampling {num_samples, batch_size, clip_x_start};
sampler {name, eta}; nfe; seed. Input: checkpoint. Output: samples (npz, `images` u8 [N, H, W, C] in sample order).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.common.files import write_npz
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.step import Step, run
from workflow_scripts.data.images import to_uint8
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.sampling.noise import SampleNoise
from workflow_scripts.sampling.sample import sample
from workflow_scripts.training.device import choose_device
from workflow_scripts.training.ema_model import load_ema_model


def main(step: Step) -> None:
    """Load the EMA weights, draw `sampling.num_samples` images batch by batch, write them as uint8."""
    device = choose_device()
    image_size, channels = step.setting("data.image_size"), step.setting("data.channels")
    num_samples, batch_size = step.setting("sampling.num_samples"), step.setting("sampling.batch_size")
    sampler, nfe = step.setting("sampler"), step.setting("nfe")
    diffusion = GaussianDiffusion.from_settings(step.setting("diffusion")).to(device)
    # A network read with another schedule or prediction type runs without an error and draws wrong images.
    model = load_ema_model(step.input("checkpoint"), step.settings, ("seed", "model", "diffusion")).to(device)

    images = np.empty((num_samples, image_size, image_size, channels), dtype=np.uint8)
    progress = Progress(f"{_sampler_title(sampler)}, NFE {nfe}", num_samples, "images", step.log)
    with torch.inference_mode():
        for first in range(0, num_samples, batch_size):
            indices = range(first, min(first + batch_size, num_samples))
            noise = SampleNoise(step.setting("seed"), indices, (channels, image_size, image_size))

            def show(calls_done: int, indices: range = indices) -> None:
                # Part of a batch counts as that share of its images, so that slow batches show life as well.
                progress.update(indices.start + len(indices) * calls_done // nfe)

            x_T, clip_x_start = noise.x_T.to(device), step.setting("sampling.clip_x_start")
            try:
                x_start = sample(model, diffusion, sampler, nfe, x_T, noise.step, clip_x_start, show)
            except PipelineError as error:
                raise PipelineError(f"{step.input('checkpoint')}: {error}") from error
            images[indices.start : indices.stop] = to_uint8(x_start)
    write_npz(step.output("samples"), images=images)


def _sampler_title(sampler: dict[str, Any]) -> str:
    return sampler["name"] if sampler.get("eta") is None else f"{sampler['name']} eta {sampler['eta']:g}"


if __name__ == "__main__":
    run(main)
