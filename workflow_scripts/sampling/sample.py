"""The sampling loop, the same for every sampler: predict x_start, clip it, take the step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from workflow_scripts.common.errors import ConfigError, PipelineError
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.sampling.ddim import ddim_coefficients
from workflow_scripts.sampling.ddpm import ddpm_coefficients
from workflow_scripts.sampling.respacing import Chain, respace, trailing_timesteps
from workflow_scripts.sampling.steps import StepCoefficients

SAMPLERS = ("ddpm", "ddpm_large", "ddim")


def step_coefficients(sampler_settings: Mapping[str, Any], chain: Chain) -> StepCoefficients:
    """The coefficients of the sampler {name, eta}; eta is ddim's alone and 0 when absent. ConfigError otherwise."""
    name, eta = sampler_settings["name"], sampler_settings.get("eta")
    if name not in SAMPLERS:
        raise ConfigError(f"the sampler is {name!r}; known are {', '.join(SAMPLERS)}")
    if name == "ddim":
        return ddim_coefficients(chain, 0.0 if eta is None else eta)
    if eta is not None:
        raise ConfigError(f"the sampler {name} takes no eta, got {eta}; eta belongs to ddim")
    return ddpm_coefficients(chain, large_variance=name == "ddpm_large")


def sample(
    model: Callable[[Tensor, Tensor], Tensor],
    diffusion: GaussianDiffusion,
    sampler_settings: Mapping[str, Any],
    nfe: int,
    x_T: Tensor,
    noise_fn: Callable[[int], Tensor],
    clip_x_start: bool,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Draw x_0 [B, C, H, W] from x_T [B, C, H, W] with exactly nfe calls of model(x_t, t), t int64 [B].

    The state keeps x_T's dtype and device; coefficients are computed in float64. `noise_fn(k)` gives the noise
    [B, C, H, W] of step k and is called, in order, only for steps that add noise: never for the last one, and never by
    ddim with eta 0. `clip_x_start` clamps the predicted x_start to [-1, 1] at every step; x_0 is the last of them.
    `on_step` is told how many calls are done. PipelineError, naming the step, when a prediction is not finite;
    ConfigError for an unknown sampler or an impossible nfe or eta.
    """
    chain = respace(diffusion.alphas_cumprod.cpu().numpy(), trailing_timesteps(diffusion.num_timesteps, nfe))
    coefficients = step_coefficients(sampler_settings, chain)
    x = x_T
    for k, timestep in enumerate(chain.timesteps.tolist()):
        t = torch.full((len(x),), timestep, dtype=torch.int64, device=x.device)
        pred_x_start = diffusion.pred_x_start(model(x, t), x, t)
        # Checked before clipping, which would turn an infinity into a harmless-looking 1.
        if not torch.isfinite(pred_x_start).all():
            raise PipelineError(
                f"{sampler_settings['name']}: the prediction is not finite at step {k + 1} of {nfe} (t = {timestep}); "
                "the checkpoint is probably from a run that diverged, look at its log.csv"
            )
        if clip_x_start:
            pred_x_start = pred_x_start.clamp(-1.0, 1.0)
        noise = noise_fn(k).to(x) if coefficients.needs_noise(k) else None
        x = coefficients.advance(k, pred_x_start, x, noise)
        if on_step is not None:
            on_step(k + 1)
    return x
