"""Networks of classes as the samplers call them, and generators that need one call."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from workflow_scripts.core.capture import captured
from workflow_scripts.core.errors import NotFiniteError


def of_classes(
    network: Callable[..., Tensor], labels: Tensor, num_classes: int, guidance_scale: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """Fix a network's labels, int64 [B], a tensor that the next batch may overwrite.

    Classifier-free guidance (Ho and Salimans 2022, eq. 6, with scale = 1 + w): what the network says without
    the class, plus `guidance_scale` times what the class changes. 1 is no guidance and needs one call.
    """

    def conditional(x: Tensor, t: Tensor) -> Tensor:
        return network(x, t, labels)

    def guided(x: Tensor, t: Tensor) -> Tensor:
        both = torch.cat((labels, torch.full_like(labels, num_classes)))
        known, unknown = network(torch.cat((x, x)), t, both).chunk(2)
        return unknown + guidance_scale * (known - unknown)

    return conditional if guidance_scale == 1 else guided


class DirectSampling:
    """Images like `images` by one call of a generator on latents like `latents`: shape, dtype, device.

    `labels`, int64 [B], go to the network if given; the caller overwrites them for the next batch.
    """

    def __init__(
        self, network: Callable[..., Tensor], latents: Tensor, images: Tensor, labels: Tensor | None
    ):
        self._network = network
        self._latents, self._images = torch.empty_like(latents), torch.empty_like(images)
        self._labels = () if labels is None else (labels,)
        self._call = captured(self._generate, latents.device)

    def draw(
        self,
        latents: Tensor,
        noise_fn: Callable[[int], Tensor] | None = None,
        on_step: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Images [B, C, H, W] in [-1, 1]; NotFiniteError unless all are finite. As SamplingLoop.draw."""
        self._latents.copy_(latents)
        self._call()
        if not torch.isfinite(self._images).all():
            raise NotFiniteError("direct: the images are not finite; the run has probably diverged")
        if on_step is not None:
            on_step(1)
        return self._images.clamp(-1.0, 1.0)

    def _generate(self) -> None:
        self._images.copy_(self._network(self._latents, *self._labels))
