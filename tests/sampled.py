"""One batch, sampled as the sampling step does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.sampling.sample import SamplingLoop


def diffusion_of(
    prediction_type: str = "eps", num_timesteps: int = 1000, schedule: str = "linear"
) -> GaussianDiffusion:
    """A diffusion with the betas of Ho et al. 2020."""
    betas = {"beta_start": 1e-4, "beta_end": 0.02}
    return GaussianDiffusion.from_settings(
        {"schedule": schedule, "num_timesteps": num_timesteps, "prediction_type": prediction_type} | betas
    )


def sample(
    model: Callable[[Tensor, Tensor], Tensor],
    diffusion: GaussianDiffusion,
    sampler: Mapping[str, Any],
    nfe: int,
    x_T: Tensor,
    noise_fn: Callable[[int], Tensor],
    clip_x_start: bool,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """x_0 [B, C, H, W] from x_T; see `SamplingLoop`."""
    loop = SamplingLoop(model, diffusion, sampler, nfe, x_T, clip_x_start)
    return loop.draw(x_T, noise_fn, on_step)
