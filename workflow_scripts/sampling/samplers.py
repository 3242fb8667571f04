"""DDPM and DDIM on a respaced chain, both as three numbers per step.

Row k of a table, float64 [nfe, 3], holds the factors (c_0, c_t, c_n) of network call k, 0 the noisiest:
x_prev = c_0 * (predicted x_start) + c_t * x_t + c_n * noise, where c_n is 0 at the last step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.sampling.respacing import Chain

SAMPLERS = ("ddpm", "ddpm_large", "ddim")


def step_coefficients(sampler_settings: Mapping[str, Any], chain: Chain) -> np.ndarray:
    """The table of the sampler {name, eta}; only ddim has an eta. ConfigError for an unknown name."""
    name = sampler_settings["name"]
    if name not in SAMPLERS:
        raise ConfigError(f"the sampler is {name!r}; known are {', '.join(SAMPLERS)}")
    if name == "ddim":
        return ddim_coefficients(chain, sampler_settings["eta"])
    return ddpm_coefficients(chain, large_variance=name == "ddpm_large")


def ddpm_coefficients(chain: Chain, large_variance: bool) -> np.ndarray:
    """Mean and standard deviation of q(x_prev | x_t, x_start) for every step (Ho et al. 2020, eq. 7).

    The variance is the posterior's (`ddpm`, "fixed small"), exact for a single point, or with
    `large_variance` beta (`ddpm_large`, "fixed large"), exact for data N(0, I).
    """
    noise_t, noise_prev = 1 - chain.alphas_cumprod, 1 - chain.alphas_cumprod_prev
    variance = chain.betas.copy() if large_variance else noise_prev / noise_t * chain.betas
    variance[-1] = 0.0
    of_x_start = np.sqrt(chain.alphas_cumprod_prev) * chain.betas / noise_t
    of_x_t = np.sqrt(1 - chain.betas) * noise_prev / noise_t
    return np.stack((of_x_start, of_x_t, np.sqrt(variance)), axis=1)


def ddim_coefficients(chain: Chain, eta: float) -> np.ndarray:
    """Song et al. 2021 ("Denoising diffusion implicit models"), eq. 12 with the sigma of eq. 16.

    eta 0 is deterministic, eta 1 is `ddpm`. The noise in eq. 12 is the one that the predicted x_start
    implies, (x_t - a x_start) / s; if x_start was clipped, noise and x_start thus still make up x_t, as in
    the authors' code.
    """
    noise_t, noise_prev = 1 - chain.alphas_cumprod, 1 - chain.alphas_cumprod_prev
    noise_std = eta * np.sqrt(noise_prev / noise_t * chain.betas)
    of_x_t = np.sqrt((noise_prev - noise_std**2) / noise_t)
    of_x_start = np.sqrt(chain.alphas_cumprod_prev) - of_x_t * np.sqrt(chain.alphas_cumprod)
    return np.stack((of_x_start, of_x_t, noise_std), axis=1)
