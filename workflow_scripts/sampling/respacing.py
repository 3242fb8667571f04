"""The timesteps that a sampler visits, and the shorter chain through them.

Timesteps are "trailing" (Lin et al. 2023, "Common diffusion noise schedules and sample steps are flawed",
table 2): sampling starts at T - 1, where x_T is drawn, and the last network call jumps straight to the image.
Each of the nfe calls then does an equal share of the work. A spacing that also visits t = 0 wastes a call on
an image nearly free of noise; with the larger variance of `ddpm_large` that call even meets noise it does not
expect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Chain:
    """The visited timesteps int64 [nfe], falling; alphas_cumprod before and after each step, and its beta."""

    timesteps: np.ndarray
    alphas_cumprod: np.ndarray
    alphas_cumprod_prev: np.ndarray
    betas: np.ndarray


def trailing_timesteps(num_timesteps: int, nfe: int) -> np.ndarray:
    """The nfe timesteps to visit, int64 [nfe], falling: round(T - k T / nfe) - 1 for k = 0 ... nfe - 1.

    1 <= nfe <= T; nfe need not divide T.
    """
    return np.round(np.arange(nfe, 0, -1) * (num_timesteps / nfe)).astype(np.int64) - 1


def respace(alphas_cumprod: np.ndarray, timesteps: np.ndarray) -> Chain:
    """The chain that visits only `timesteps` (falling) of a schedule's alphas_cumprod [T].

    alphas_cumprod keeps its value at every visited timestep, so beta = 1 - alphas_cumprod /
    alphas_cumprod_prev with 1 after the last step (Nichol & Dhariwal 2021, eq. 19). The original betas would
    remove the noise of one original step at each of far fewer steps and leave the rest in the image.
    """
    visited = np.asarray(alphas_cumprod, dtype=np.float64)[timesteps]
    previous = np.append(visited[1:], 1.0)
    return Chain(timesteps, visited, previous, 1 - visited / previous)
