"""A generative adversarial network, unconditional or of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from workflow_scripts.core.randomness import stream
from workflow_scripts.data.images import scaled
from workflow_scripts.nets.build import build_network
from workflow_scripts.nets.precision import in_precision
from workflow_scripts.training.step import TrainingState


class Gan:
    """Goodfellow et al. 2014, non-saturating: an update of the discriminator, then one of the generator.

    The network of `model` makes images [B, C, H, W] in [-1, 1] of latents [B, model.latent_dim, 1, 1] in one
    call, and `discriminator`, a section like `model`, gives each image a logit [B]. With `condition` "class"
    both also get the labels (Mirza and Osindero 2014). Both have Adam with `training.learning_rate` and
    `beta1` (Radford et al. 2016: 2e-4 and .5).

    Logged: `loss` of the generator, softplus(-D(fake)); `discriminator_loss`, the mean of softplus(-D(real))
    and softplus(D(fake)), ln 2 at chance; `discriminator_accuracy`, .5 at chance; and the gradients' norms
    before clipping, `grad_norm` (the generator's) and `discriminator_grad_norm`.
    """

    SAMPLERS = ("direct",)
    columns = ("loss", "discriminator_loss", "discriminator_accuracy", "grad_norm", "discriminator_grad_norm")

    def __init__(
        self,
        settings: Mapping[str, Any],
        discriminator: Mapping[str, Any],
        condition: str | None = None,
        beta1: float = 0.5,
    ):
        self._settings, self._discriminator = settings, discriminator
        self._labelled = condition == "class"
        self.asks = ("images", "labels") if self._labelled else ("images",)
        self.adam = {name: {"betas": (beta1, 0.999)} for name in ("model", "discriminator")}

    def networks(self) -> dict[str, nn.Module]:
        judge = build_network(self._settings | {"model": self._discriminator})
        return {"model": build_network(self._settings), "discriminator": judge}

    def draw(self, step: int) -> dict[str, Tensor]:
        """`latents`: float32 [B, latent_dim, 1, 1]."""
        shape = (self._settings["training"]["batch_size"], self._settings["model"]["latent_dim"], 1, 1)
        latents = stream(self._settings["seed"], "noise", step).standard_normal(shape, dtype=np.float32)
        return {"latents": torch.from_numpy(latents)}

    def updater(self, state: TrainingState) -> Callable[[Mapping[str, Tensor]], Tensor]:
        generator, judge = state.trained["model"], state.trained["discriminator"]
        training = self._settings["training"]
        make, tell = (in_precision(one.network, training["precision"]) for one in (generator, judge))
        clip_norm = training["grad_clip_norm"]

        def update(batch: Mapping[str, Tensor]) -> Tensor:
            condition = (batch["labels"],) if self._labelled else ()
            real = scaled(batch["images"].permute(0, 3, 1, 2))
            fake = make(batch["latents"], *condition)
            of_real = tell(real, *condition)
            of_fake = tell(fake.detach(), *condition)
            judge_loss = (softplus(-of_real) + softplus(of_fake)).mean() / 2
            judge_norm = judge.descend(judge_loss, clip_norm)
            loss = softplus(-tell(fake, *condition)).mean()
            grad_norm = generator.descend(loss, clip_norm)
            state.ema.update()
            accuracy = torch.cat((of_real > 0, of_fake < 0)).float().mean()
            return torch.stack((loss.detach(), judge_loss.detach(), accuracy, grad_norm, judge_norm))

        return update
