"""Ancestral sampling (Ho et al. 2020, algorithm 2) on a respaced chain."""

from __future__ import annotations

import numpy as np

from workflow_scripts.sampling.respacing import Chain
from workflow_scripts.sampling.steps import StepCoefficients


def ddpm_coefficients(chain: Chain, large_variance: bool) -> StepCoefficients:
    """Mean and standard deviation of q(x_prev | x_t, x_start) for every step (Ho et al. 2020, eq. 7).

    The variance is the posterior's (`ddpm`, "fixed small"), exact for a point, or with `large_variance` beta
    (`ddpm_large`, "fixed large"), exact for data N(0, I).
    """
    noise_t, noise_prev = 1 - chain.alphas_cumprod, 1 - chain.alphas_cumprod_prev
    variance = chain.betas.copy() if large_variance else noise_prev / noise_t * chain.betas
    variance[-1] = 0.0
    return StepCoefficients(
        pred_x_start=np.sqrt(chain.alphas_cumprod_prev) * chain.betas / noise_t,
        x_t=np.sqrt(1 - chain.betas) * noise_prev / noise_t,
        noise_std=np.sqrt(variance),
    )
