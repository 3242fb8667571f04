"""The sampling loop, the same for every sampler: predict x_start, clip it, take the step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from workflow_scripts.core.capture import Graphs, captured, send
from workflow_scripts.core.errors import ConfigError, PipelineError
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.sampling.ddim import ddim_coefficients
from workflow_scripts.sampling.ddpm import ddpm_coefficients
from workflow_scripts.sampling.respacing import Chain, respace, trailing_timesteps
from workflow_scripts.sampling.steps import StepCoefficients, advance

SAMPLERS = ("ddpm", "ddpm_large", "ddim")
# Steps between two looks at whether all was finite, each of which waits for the device.
LOOK_EVERY = 32


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
    """Draw x_0 [B, C, H, W] from x_T [B, C, H, W] with exactly nfe calls of model(x_t, t), t int64 [1].

    The state keeps x_T's dtype and device, where `diffusion` must be; see `SamplingLoop` for the rest.
    """
    return SamplingLoop(model, diffusion, sampler_settings, nfe, x_T, clip_x_start).draw(
        x_T, noise_fn, on_step
    )


class SamplingLoop:
    """Sampling of batches of one shape: `nfe` calls of one function of fixed tensors, which a GPU records once.

    `model` takes (x_t [B, C, H, W], t int64 [1], the timestep of all images); batches have shape, dtype and device of
    `like`, and `diffusion` is on that device. Coefficients are computed in float64 and then take the state's dtype.
    `clip_x_start` clamps the predicted x_start to [-1, 1] at every step; x_0 is the last of them. ConfigError for an unknown
    sampler or an impossible nfe or eta.
    """

    def __init__(
        self,
        model: Callable[[Tensor, Tensor], Tensor],
        diffusion: GaussianDiffusion,
        sampler_settings: Mapping[str, Any],
        nfe: int,
        like: Tensor,
        clip_x_start: bool,
        graphs: Graphs | None = None,
    ):
        chain = respace(
            diffusion.alphas_cumprod.cpu().numpy(), trailing_timesteps(diffusion.num_timesteps, nfe)
        )
        self._coefficients = step_coefficients(sampler_settings, chain)
        self._name, self._chain, self._nfe = sampler_settings["name"], chain, nfe
        self._model, self._diffusion, self._clip_x_start = model, diffusion, clip_x_start
        self._timesteps = torch.from_numpy(chain.timesteps).to(like.device)
        self._table = self._coefficients.table(like)
        # What a step works on: the state, its noise, the number of the step, and the first step that was not finite.
        self._x, self._noise = torch.empty_like(like), torch.zeros_like(like)
        self._k, self._first_bad = (torch.zeros(1, dtype=torch.int64, device=like.device) for _ in range(2))
        self._adds_noise = bool((self._coefficients.noise_std > 0).any())
        self._step = captured(self._take_step, like.device, graphs)

    def draw(
        self, x_T: Tensor, noise_fn: Callable[[int], Tensor], on_step: Callable[[int], None] | None = None
    ) -> Tensor:
        """x_0 [B, C, H, W] from x_T; both are the caller's.

        `noise_fn(k)` gives the noise [B, C, H, W] of step k and is called, in order, only for steps that add noise: never
        for the last one, and never by ddim with eta 0. `on_step` is told how many calls are done, on a GPU asked for.
        PipelineError, naming the step, when a prediction is not finite.
        """
        self._x.copy_(x_T)
        self._k.zero_()
        self._first_bad.fill_(self._nfe)
        for k in range(self._nfe):
            if self._coefficients.needs_noise(k):
                send(noise_fn(k), self._noise)
            self._step()
            # A GPU's step has only been asked for by now; it is waited for now and then, so that it does not fall far behind.
            if (k + 1) % LOOK_EVERY == 0 or k + 1 == self._nfe:
                self._require_finite()
            if on_step is not None:
                on_step(k + 1)
        return self._x.clone()

    def _take_step(self) -> None:
        x, t = self._x, self._timesteps.index_select(0, self._k)
        pred_x_start = self._diffusion.pred_x_start(self._model(x, t), x, t)
        # Looked at before clipping, which would turn an infinity into a harmless-looking 1.
        finite = torch.isfinite(pred_x_start).all()
        self._first_bad.copy_(torch.where(finite, self._first_bad, torch.minimum(self._first_bad, self._k)))
        if self._clip_x_start:
            pred_x_start = pred_x_start.clamp(-1.0, 1.0)
        # The last step's noise has a standard deviation of 0, so that one recording does for all.
        row, noise = self._table.index_select(0, self._k), self._noise if self._adds_noise else None
        self._x.copy_(advance(row, pred_x_start, x, noise))
        self._k.add_(1)

    def _require_finite(self) -> None:
        k = self._first_bad.item()
        if k < self._nfe:
            raise PipelineError(
                f"{self._name}: the prediction is not finite at step {k + 1} of {self._nfe} (t = {self._chain.timesteps[k]}); "
                "the checkpoint is probably from a run that diverged, look at its log.csv"
            )
