"""The training loss, and the common objective that all arms are compared on.

The model is a callable model(x_t, t) -> output.

Shapes: x_start and noise [B, C, H, W]; t int64 [B]; weights [T].
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from workflow_scripts.diffusion.process import GaussianDiffusion

Model = Callable[[Tensor, Tensor], Tensor]


def weighted_mse(
    model: Model, diffusion: GaussianDiffusion, weights: Tensor, x_start: Tensor, t: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """The run's own objective: the scalars (loss, mse).

    loss is the batch mean of weights[t] times each sample's MSE in prediction space (Ho et al. 2020, eq. 14,
    with weights). mse is the unweighted batch mean, detached, for the log.
    """
    output = model(diffusion.q_sample(x_start, t, noise), t)
    mse = _per_sample_mse(output, diffusion.target(x_start, t, noise))
    return (weights[t].to(mse.dtype) * mse).mean(), mse.detach().mean()


def eps_mse(model: Model, diffusion: GaussianDiffusion, x_start: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """The common objective: each sample's unweighted MSE of the noise, [B], for any prediction type."""
    x_t = diffusion.q_sample(x_start, t, noise)
    return _per_sample_mse(diffusion.pred_noise(model(x_t, t), x_t, t), noise)


def _per_sample_mse(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).square().flatten(1).mean(1)
