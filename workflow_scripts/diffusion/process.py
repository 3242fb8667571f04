"""The forward process q(x_t | x_start) and the exact conversions between prediction types.

Shapes: x_start, x_t, noise and network output [B, C, H, W]; t int64 [B] in [0, T); tables float64 [T].
Below a = sqrt(alphas_cumprod[t]) and s = sqrt(1 - alphas_cumprod[t]), so that x_t = a x_start + s noise and
v = a noise - s x_start (Salimans & Ho 2022, appendix D).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.diffusion.schedules import alphas_cumprod_of, make_betas, snr_of
from workflow_scripts.diffusion.weighting import PREDICTION_TYPES


@dataclass(frozen=True, eq=False)
class GaussianDiffusion:
    """A noise schedule and a prediction type (`eps`, `x0`, `v`); tables are float64 [T], float32 on MPS."""

    alphas_cumprod: Tensor
    snr: Tensor
    sqrt_alphas_cumprod: Tensor
    sqrt_one_minus_alphas_cumprod: Tensor
    prediction_type: str

    @classmethod
    def from_settings(cls, settings_diffusion: Mapping[str, Any]) -> GaussianDiffusion:
        """Build from the settings section `diffusion`; ValueError for an unknown name."""
        prediction_type = settings_diffusion["prediction_type"]
        if prediction_type not in PREDICTION_TYPES:
            known = ", ".join(PREDICTION_TYPES)
            raise ValueError(f"diffusion.prediction_type is {prediction_type!r}; known are {known}")
        alphas_cumprod = alphas_cumprod_of(make_betas(settings_diffusion))
        signal, noise = np.sqrt(alphas_cumprod), np.sqrt(1 - alphas_cumprod)
        tables = (alphas_cumprod, snr_of(alphas_cumprod), signal, noise)
        return cls(*map(torch.from_numpy, tables), prediction_type)

    @property
    def num_timesteps(self) -> int:
        """T, the number of timesteps."""
        return len(self.alphas_cumprod)

    def to(self, device: torch.device | str) -> GaussianDiffusion:
        """Return the same diffusion for t on `device`; alphas_cumprod and snr stay on the CPU."""
        # MPS has no float64; what is read from these tables becomes float32 anyway
        dtype = torch.float32 if torch.device(device).type == "mps" else torch.float64
        tables = {name: value.to(device, dtype) for name, value in vars(self).items() if name[:5] == "sqrt_"}
        return replace(self, **tables)

    def q_sample(self, x_start: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Diffuse x_start to timestep t: a x_start + s noise (Ho et al. 2020, eq. 4)."""
        a, s = self._signal_and_noise(t, x_start)
        return a * x_start + s * noise

    def target(self, x_start: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The output that the network should give at (q_sample(x_start, t, noise), t)."""
        if self.prediction_type == "eps":
            return noise
        if self.prediction_type == "x0":
            return x_start
        a, s = self._signal_and_noise(t, x_start)
        return a * noise - s * x_start

    def pred_x_start(self, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Convert the network's output at (x_t, t) to x_start, not clipped."""
        a, s = self._signal_and_noise(t, x_t)
        if self.prediction_type == "eps":
            return (x_t - s * output) / a
        return output if self.prediction_type == "x0" else a * x_t - s * output

    def pred_noise(self, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Convert the network's output at (x_t, t) to the noise."""
        a, s = self._signal_and_noise(t, x_t)
        if self.prediction_type == "x0":
            return (x_t - a * output) / s
        return output if self.prediction_type == "eps" else s * x_t + a * output

    def _signal_and_noise(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1,) + (1,) * (like.ndim - 1)
        return (
            self.sqrt_alphas_cumprod[t].to(like.dtype).reshape(shape),
            self.sqrt_one_minus_alphas_cumprod[t].to(like.dtype).reshape(shape),
        )
