"""The one shape of a sampling step: DDPM and DDIM differ only in three numbers per step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
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

    def table(self, like: Tensor) -> Tensor:
        """The three numbers of every step, [nfe, 3], in the type and on the device of `like`; `advance` takes a row."""
        columns = np.stack((self.pred_x_start, self.x_t, self.noise_std), axis=1)
        return torch.from_numpy(columns).to(like)


def advance(row: Tensor, pred_x_start: Tensor, x_t: Tensor, noise: Tensor | None) -> Tensor:
    """Take the step of a table's row [1, 3]: tensors [B, C, H, W] in, x_prev out; no noise is added where it is None."""
    x_prev = row[:, 0] * pred_x_start + row[:, 1] * x_t
    return x_prev if noise is None else x_prev + row[:, 2] * noise
