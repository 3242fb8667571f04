"""DDPM and DDIM on a respaced chain, both as three numbers per step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.sampling.respacing import Chain

SAMPLERS = ("ddpm", "ddpm_large", "ddim")


@dataclass(frozen=True, eq=False)
class StepCoefficients:
    """x_prev = pred_x_start[k] * (predicted x_start) + x_t[k] * x_t + noise_std[k] * noise.

    float64 [nfe] each; k counts network calls, 0 the noisiest. noise_std is 0 at the last step.
    """

    pred_x_start: np.ndarray
    x_t: np.ndarray
    noise_std: np.ndarray

    def table(self, like: Tensor) -> Tensor:
        """The three numbers of every step, [nfe, 3], in the dtype and on the device of `like`."""
        columns = np.stack((self.pred_x_start, self.x_t, self.noise_std), axis=1)
        return torch.from_numpy(columns).to(like)


def step_coefficients(sampler_settings: Mapping[str, Any], chain: Chain) -> StepCoefficients:
    """The coefficients of the sampler {name, eta}. ConfigError for an unknown name or an impossible eta.

    eta belongs to ddim, where it is 0 if absent.
    """
    name, eta = sampler_settings["name"], sampler_settings.get("eta")
    if name not in SAMPLERS:
        raise ConfigError(f"the sampler is {name!r}; known are {', '.join(SAMPLERS)}")
    if name == "ddim":
        return ddim_coefficients(chain, 0.0 if eta is None else eta)
    if eta is not None:
        raise ConfigError(f"the sampler {name} takes no eta, got {eta}; eta belongs to ddim")
    return ddpm_coefficients(chain, large_variance=name == "ddpm_large")


def ddpm_coefficients(chain: Chain, large_variance: bool) -> StepCoefficients:
    """Mean and standard deviation of q(x_prev | x_t, x_start) for every step (Ho et al. 2020, eq. 7).

    The variance is the posterior's (`ddpm`, "fixed small"), exact for a single point, or with
    `large_variance` beta (`ddpm_large`, "fixed large"), exact for data N(0, I).
    """
    noise_t, noise_prev = 1 - chain.alphas_cumprod, 1 - chain.alphas_cumprod_prev
    variance = chain.betas.copy() if large_variance else noise_prev / noise_t * chain.betas
    variance[-1] = 0.0
    return StepCoefficients(
        pred_x_start=np.sqrt(chain.alphas_cumprod_prev) * chain.betas / noise_t,
        x_t=np.sqrt(1 - chain.betas) * noise_prev / noise_t,
        noise_std=np.sqrt(variance),
    )


def ddim_coefficients(chain: Chain, eta: float) -> StepCoefficients:
    """Song et al. 2021 ("Denoising diffusion implicit models"), eq. 12 with the sigma of eq. 16.

    eta 0 is deterministic, eta 1 is `ddpm`. The noise in eq. 12 is the one that the predicted x_start
    implies, (x_t - a x_start) / s; if x_start was clipped, noise and x_start thus still make up x_t, as in
    the authors' code. ConfigError unless 0 <= eta <= 1.
    """
    if not 0 <= eta <= 1:
        raise ConfigError(f"the ddim sampler's eta is {eta}; it must be between 0 and 1")
    noise_t, noise_prev = 1 - chain.alphas_cumprod, 1 - chain.alphas_cumprod_prev
    noise_std = eta * np.sqrt(noise_prev / noise_t * chain.betas)
    direction = np.sqrt((noise_prev - noise_std**2) / noise_t)
    return StepCoefficients(
        pred_x_start=np.sqrt(chain.alphas_cumprod_prev) - direction * np.sqrt(chain.alphas_cumprod),
        x_t=direction,
        noise_std=noise_std,
    )
