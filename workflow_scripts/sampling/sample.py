"""The sampling loop, the same for every sampler: predict x_start, clip it, take the step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from workflow_scripts.core.capture import captured, send
from workflow_scripts.core.errors import NotFiniteError
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.sampling.respacing import respace, trailing_timesteps
from workflow_scripts.sampling.samplers import step_coefficients

# Steps between two checks that everything is finite; each makes the host wait for the device.
CHECK_EVERY = 32


class SamplingLoop:
    """Samples batches of one shape by `nfe` calls of one function of fixed tensors, which a GPU records once.

    `model` takes (x_t [B, C, H, W], t int64 [1], the timestep of all images). Batches have the shape, dtype
    and device of `like`; `diffusion` is on that device. Coefficients are computed in float64 and then take
    the state's dtype. `clip_x_start` clamps the predicted x_start to [-1, 1] at every step; x_0 is the last
    of them. ConfigError for an unknown sampler.
    """

    def __init__(
        self,
        model: Callable[[Tensor, Tensor], Tensor],
        diffusion: GaussianDiffusion,
        sampler_settings: Mapping[str, Any],
        nfe: int,
        like: Tensor,
        clip_x_start: bool,
    ):
        timesteps = trailing_timesteps(diffusion.num_timesteps, nfe)
        chain = respace(diffusion.alphas_cumprod.cpu().numpy(), timesteps)
        coefficients = step_coefficients(sampler_settings, chain)
        self._name, self._nfe, self._noise_std = sampler_settings["name"], nfe, coefficients[:, 2]
        self._model, self._diffusion, self._clip_x_start = model, diffusion, clip_x_start
        self._timesteps = torch.from_numpy(timesteps).to(like.device)
        self._table = torch.from_numpy(coefficients).to(like)
        # What a step works on: the state, its noise, the number of the step, and the first step that was not
        # finite.
        self._x, self._noise = torch.empty_like(like), torch.zeros_like(like)
        self._k, self._first_bad = (torch.zeros(1, dtype=torch.int64, device=like.device) for _ in range(2))
        self._adds_noise = bool((self._noise_std > 0).any())
        self._step = captured(self._take_step, like.device)

    def draw(
        self, x_T: Tensor, noise_fn: Callable[[int], Tensor], on_step: Callable[[int], None] | None = None
    ) -> Tensor:
        """Draw x_0 [B, C, H, W] from x_T, which is left as it is.

        `noise_fn(k)` returns the noise [B, C, H, W] of step k; it is called in order, and only for steps that
        add noise: never for the last one, and never by ddim with eta 0. `on_step` gets the number of calls
        done (on a GPU: launched). NotFiniteError, naming the step, when a prediction is not finite.
        """
        self._x.copy_(x_T)
        self._k.zero_()
        self._first_bad.fill_(self._nfe)
        for k in range(self._nfe):
            if self._noise_std[k] > 0:
                send(noise_fn(k), self._noise)
            self._step()
            # A GPU's steps are only launched by now; waiting now and then keeps it from falling far behind.
            if (k + 1) % CHECK_EVERY == 0 or k + 1 == self._nfe:
                self._require_finite()
            if on_step is not None:
                on_step(k + 1)
        return self._x.clone()

    def _take_step(self) -> None:
        x, t = self._x, self._timesteps.index_select(0, self._k)
        pred_x_start = self._diffusion.pred_x_start(self._model(x, t), x, t)
        # Before clipping, which would turn an infinity into a harmless-looking 1.
        finite = torch.isfinite(pred_x_start).all()
        self._first_bad.copy_(torch.where(finite, self._first_bad, torch.minimum(self._first_bad, self._k)))
        if self._clip_x_start:
            pred_x_start = pred_x_start.clamp(-1.0, 1.0)
        row = self._table.index_select(0, self._k)
        x_prev = row[:, 0] * pred_x_start + row[:, 1] * x
        # The last step's noise has a standard deviation of 0, so one recording serves all steps.
        self._x.copy_(x_prev + row[:, 2] * self._noise if self._adds_noise else x_prev)
        self._k.add_(1)

    def _require_finite(self) -> None:
        k = self._first_bad.item()
        if k < self._nfe:
            raise NotFiniteError(
                f"{self._name}: the prediction is not finite at step {k + 1} of {self._nfe} "
                f"(t = {self._timesteps[k]}); the checkpoint's run has probably diverged, look at its log.csv"
            )
