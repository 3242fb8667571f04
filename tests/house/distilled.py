"""Diffusion that also follows a network trained before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from workflow_scripts.data.images import scaled
from workflow_scripts.diffusion.objective import weighted_mse
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.methods.diffusion import Diffusion
from workflow_scripts.training.step import TrainingState


class Distilled(Diffusion):
    """Denoising, plus the squared distance to the predictions of the shared `network`."""

    SAMPLERS = ("ddpm", "ddpm_large", "ddim")

    def __init__(self, settings: Mapping[str, Any], network: nn.Module):
        super().__init__(settings)
        self.teacher = network

    def updater(self, state: TrainingState) -> Callable[[Mapping[str, Tensor]], Tensor]:
        trained, training = state.trained["model"], self._settings["training"]
        diffusion = GaussianDiffusion.from_settings(self._settings["diffusion"]).to(trained.device)
        weights = torch.ones(diffusion.num_timesteps, device=trained.device)

        def update(batch: Mapping[str, Tensor]) -> Tensor:
            terms = []

            def model(x_t: Tensor, t: Tensor) -> Tensor:
                predicted = trained.network(x_t, t)
                terms.append((predicted - self.teacher(x_t, t)).square().mean())
                return predicted

            x_start = scaled(batch["images"].permute(0, 3, 1, 2))
            loss, mse = weighted_mse(model, diffusion, weights, x_start, batch["t"], batch["noise"])
            loss = loss + terms.pop()
            grad_norm = trained.descend(loss, training["grad_clip_norm"])
            state.ema.update()
            return torch.stack((loss.detach(), mse, grad_norm))

        return update
