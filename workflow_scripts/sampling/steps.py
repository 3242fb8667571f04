"""The one shape of a sampling step: DDPM and DDIM differ only in three numbers per step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True, eq=False)
class StepCoefficients:
    """x_prev = pred_x_start[k] * (predicted x_start) + x_t[k] * x_t + noise_std[k] * noise; float64 [nfe] each.

    k counts network calls, 0 the noisiest. noise_std is 0 at the last step.
    """

    pred_x_start: np.ndarray
    x_t: np.ndarray
    noise_std: np.ndarray

    def needs_noise(self, k: int) -> bool:
        """Whether step k adds noise."""
        return bool(self.noise_std[k] > 0)

    def advance(self, k: int, pred_x_start: Tensor, x_t: Tensor, noise: Tensor | None) -> Tensor:
        """Take step k: tensors [B, C, H, W] in, x_prev out; `noise` is ignored where needs_noise(k) is false."""
        x_prev = float(self.pred_x_start[k]) * pred_x_start + float(self.x_t[k]) * x_t
        return x_prev + float(self.noise_std[k]) * noise if self.needs_noise(k) else x_prev
