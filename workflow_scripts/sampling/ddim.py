"""DDIM (Song et al. 2021, "Denoising diffusion implicit models") on a respaced chain."""

from __future__ import annotations

import numpy as np

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.sampling.respacing import Chain
from workflow_scripts.sampling.steps import StepCoefficients


def ddim_coefficients(chain: Chain, eta: float) -> StepCoefficients:
    """Song et al. 2021, eq. 12 with the sigma of eq. 16: eta 0 is deterministic, eta 1 is `ddpm`.

    The noise in eq. 12 is the one that the predicted x_start implies, (x_t - a x_start) / s. When x_start was clipped,
    noise and x_start thus still make up x_t, as in the authors' own code.
    ConfigError unless 0 <= eta <= 1.
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
