"""Noise schedules as float64 tables [T], t = 0 the least noisy timestep. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

SCHEDULES = ("linear", "cosine", "sigmoid", "sigmoid_alphas")


def linear_betas(num_timesteps: int, beta_start: float, beta_end: float) -> np.ndarray:
    """Betas rising linearly from `beta_start` to `beta_end`: float64 [T] (Ho et al. 2020, section 4)."""
    return np.linspace(beta_start, beta_end, num_timesteps, dtype=np.float64)


def cosine_betas(num_timesteps: int, offset: float = 0.008, max_beta: float = 0.999) -> np.ndarray:
    """Betas whose alphas_cumprod follow a squared cosine: float64 [T] (Nichol & Dhariwal 2021, eq. 17).

    `offset` is the paper's s. `max_beta` caps the last beta, which would otherwise be 1.
    """
    time = np.arange(num_timesteps + 1, dtype=np.float64) / num_timesteps
    return _betas_of(np.cos((time + offset) / (1 + offset) * np.pi / 2) ** 2, max_beta)


def sigmoid_betas(num_timesteps: int, beta_start: float, beta_end: float) -> np.ndarray:
    """Betas rising along a sigmoid over [-6, 6]: float64 [T] (GeoDiff, Xu et al. 2022).

    This is diffusers' `beta_schedule="sigmoid"`: the sigmoid shapes the betas. It is not the schedule of
    Jabri et al. 2022, whose sigmoid shapes alphas_cumprod. The ends are missed by sigmoid(-6) = 0.25 % of the
    range.
    """
    position = np.linspace(-6.0, 6.0, num_timesteps, dtype=np.float64)
    return beta_start + (beta_end - beta_start) / (1 + np.exp(-position))


def sigmoid_alphas_betas(
    num_timesteps: int, start: float = -3.0, end: float = 3.0, tau: float = 1.0, max_beta: float = 0.999
) -> np.ndarray:
    """Betas whose alphas_cumprod fall along a sigmoid: float64 [T] (Jabri et al. 2022, algorithm 1).

    The sigmoid over [start, end] / tau is scaled to fall from 1 to 0. `max_beta` caps the last beta, which
    would otherwise be 1.
    """
    time = np.arange(num_timesteps + 1, dtype=np.float64) / num_timesteps
    rising = 1 / (1 + np.exp(-(start + time * (end - start)) / tau))
    return _betas_of((rising[-1] - rising) / (rising[-1] - rising[0]), max_beta)


def _betas_of(signal: np.ndarray, max_beta: float) -> np.ndarray:
    """The betas [T] under which a signal variance of 1 falls like `signal` [T + 1]."""
    return np.minimum(1 - signal[1:] / signal[:-1], max_beta)


def make_betas(settings_diffusion: Mapping[str, Any]) -> np.ndarray:
    """Betas float64 [T], each in (0, 1), of the settings section `diffusion`.

    Reads `schedule` and `num_timesteps`, and for linear and sigmoid also `beta_start` and `beta_end`, which
    the configuration's schema keeps in range. ValueError for an unknown schedule.
    """
    schedule, num_timesteps = settings_diffusion["schedule"], settings_diffusion["num_timesteps"]
    if schedule not in SCHEDULES:
        raise ValueError(f"diffusion.schedule is {schedule!r}; known are {', '.join(SCHEDULES)}")
    if schedule in ("cosine", "sigmoid_alphas"):
        return (cosine_betas if schedule == "cosine" else sigmoid_alphas_betas)(num_timesteps)
    make = linear_betas if schedule == "linear" else sigmoid_betas
    return make(num_timesteps, settings_diffusion["beta_start"], settings_diffusion["beta_end"])


def alphas_cumprod_of(betas: np.ndarray) -> np.ndarray:
    """The signal variance left after each timestep, the product of (1 - beta): float64 [T] in (0, 1)."""
    return np.cumprod(1 - np.asarray(betas, dtype=np.float64))


def snr_of(alphas_cumprod: np.ndarray) -> np.ndarray:
    """The ratio alphas_cumprod / (1 - alphas_cumprod): float64 [T], falling with t (Kingma et al. 2021)."""
    alphas_cumprod = np.asarray(alphas_cumprod, dtype=np.float64)
    return alphas_cumprod / (1 - alphas_cumprod)
