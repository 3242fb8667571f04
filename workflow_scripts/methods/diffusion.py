"""Denoising diffusion, unconditional or of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workflow_scripts.core.randomness import stream
from workflow_scripts.data.images import scaled
from workflow_scripts.diffusion.objective import weighted_mse
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.diffusion.weighting import loss_weights
from workflow_scripts.nets.build import build_network
from workflow_scripts.nets.precision import in_precision
from workflow_scripts.training.step import TrainingState


class Diffusion:
    """Ho et al. 2020, algorithm 1: one network learns to predict what was mixed with the noise.

    With `condition` "class" the network also gets the labels, and instead of a share `label_dropout` of them
    the number of classes, so that it can be sampled with guidance (Ho and Salimans 2022, algorithm 1).
    """

    SAMPLERS = ("ddpm", "ddpm_large", "ddim")
    columns = ("loss", "mse", "grad_norm")
    adam: Mapping[str, Mapping[str, Any]] = {}

    def __init__(self, settings: Mapping[str, Any], condition: str | None = None, label_dropout: float = 0.0):
        self._settings, self._seed, self._label_dropout = settings, settings["seed"], label_dropout
        self._diffusion = GaussianDiffusion.from_settings(settings["diffusion"])
        self._labelled = condition == "class"
        self.asks = ("images", "labels") if self._labelled else ("images",)

    def networks(self) -> dict[str, nn.Module]:
        return {"model": build_network(self._settings)}

    def draw(self, step: int) -> dict[str, Tensor]:
        """`t` int64 [B], uniform in [0, T); `noise` float32 [B, C, H, W]; `dropped` bool [B]."""
        data, size = self._settings["data"], self._settings["training"]["batch_size"]
        shape = (size, data["channels"], data["image_size"], data["image_size"])
        t = stream(self._seed, "timesteps", step).integers(0, self._diffusion.num_timesteps, size=size)
        noise = stream(self._seed, "noise", step).standard_normal(shape, dtype=np.float32)
        drawn = {"t": torch.from_numpy(t), "noise": torch.from_numpy(noise)}
        if self._labelled:
            shares = stream(self._seed, "label_dropout", step).random(size)
            drawn["dropped"] = torch.from_numpy(shares < self._label_dropout)
        return drawn

    def updater(self, state: TrainingState) -> Callable[[Mapping[str, Tensor]], Tensor]:
        settings, trained = self._settings, state.trained["model"]
        weighting, gamma = settings["loss"]["weighting"], settings["loss"]["min_snr_gamma"]
        table = loss_weights(self._diffusion.snr.numpy(), self._diffusion.prediction_type, weighting, gamma)
        diffusion = GaussianDiffusion.from_settings(settings["diffusion"]).to(trained.device)
        weights = torch.from_numpy(table).to(diffusion.sqrt_alphas_cumprod)
        network = in_precision(trained.network, settings["training"]["precision"])
        clip_norm = settings["training"]["grad_clip_norm"]

        def update(batch: Mapping[str, Tensor]) -> Tensor:
            x_start = scaled(batch["images"].permute(0, 3, 1, 2))
            model = network
            if self._labelled:
                unknown = torch.full_like(batch["labels"], settings["data"]["num_classes"])
                labels = torch.where(batch["dropped"], unknown, batch["labels"])

                def model(x_t: Tensor, t: Tensor) -> Tensor:
                    return network(x_t, t, labels)

            loss, mse = weighted_mse(model, diffusion, weights, x_start, batch["t"], batch["noise"])
            grad_norm = trained.descend(loss, clip_norm)
            state.ema.update()
            return torch.stack((loss.detach(), mse, grad_norm))

        return update
