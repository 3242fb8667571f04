"""One update as one function of fixed tensors: forward, backward, clipping, Adam and EMA, recorded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from workflow_scripts.core.capture import Graphs, captured, send
from workflow_scripts.core.randomness import torch_seed
from workflow_scripts.core.recorded_operations import RecordedOperations
from workflow_scripts.data.images import scaled
from workflow_scripts.diffusion.objective import weighted_mse
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.diffusion.weighting import loss_weights
from workflow_scripts.nets.flat_weights import CastWeights
from workflow_scripts.nets.precision import in_precision
from workflow_scripts.training.batches import Batches
from workflow_scripts.training.state import TrainingState


class TrainingStep:
    """Ho et al. 2020, algorithm 1, on a batch: the gradient of the weighted loss, clipped, Adam, EMA.

    Images u8 `[N, H, W, C]` stay on the device of the state's network; per update the host sends which of them, the
    timesteps and the noise. `values`, float32 `[3]` on the device, are the last update's loss, unweighted MSE and gradient
    norm before clipping; the next update overwrites them. A state that is loaded, or a network that is set to
    train, after this was made is not seen.
    """

    def __init__(
        self,
        state: TrainingState,
        images: np.ndarray,
        settings: Mapping[str, Any],
        graphs: Graphs | None = None,
    ):
        training, device = settings["training"], next(state.model.parameters()).device
        diffusion = GaussianDiffusion.from_settings(settings["diffusion"])
        weighting, gamma = settings["loss"]["weighting"], settings["loss"]["min_snr_gamma"]
        weights = loss_weights(diffusion.snr.numpy(), diffusion.prediction_type, weighting, gamma)
        self._state, self._seed = state, settings["seed"]
        self._diffusion, self._weights = diffusion.to(device), torch.from_numpy(weights).to(device)
        self._cast = CastWeights(state.weights) if training["precision"] == "bf16" else None
        network = state.model if self._cast is None else self._cast.network
        self._network = in_precision(
            network, training["precision"], training.get("memory_format", "contiguous")
        )
        self._parameters, self._clip_norm = list(network.parameters()), training["grad_clip_norm"]
        self._has_dropout = settings["model"]["dropout"] > 0
        # `torch.manual_seed` also writes down, for every kind of device there may be, who called it: half a millisecond.
        self._seed_generator = (
            torch.default_generator.manual_seed if device.type == "cpu" else torch.manual_seed
        )
        self._images = torch.from_numpy(images).to(device)
        self._batches = Batches(images.shape, self._seed, training["batch_size"], diffusion.num_timesteps)
        self._inputs = tuple(
            torch.empty_like(drawn, device=device) for drawn in self._batches.draw(state.step)
        )
        self.values = torch.empty(3, device=device)
        if graphs is None and device.type == "cpu":
            graphs = RecordedOperations()  # not for sampling, whose convolutions may be others than torch's
        self._run = captured(self._update, device, graphs)

    def run(self) -> None:
        """Do the update that follows `state.step` updates; on a GPU it has not been done yet when this returns."""
        for drawn, fixed in zip(self._batches.draw(self._state.step), self._inputs):
            send(drawn, fixed)
        if self._has_dropout:
            # here, since what was recorded draws from the generator as it is when it is replayed
            self._seed_generator(torch_seed(self._seed, "dropout", self._state.step))
        self._run()
        self._state.step += 1

    def _update(self) -> None:
        indices, t, noise = self._inputs
        x_start = scaled(self._images.index_select(0, indices).permute(0, 3, 1, 2))
        if self._cast is not None:
            self._cast.renew()
        loss, mse = weighted_mse(self._network, self._diffusion, self._weights, x_start, t, noise)
        weights = self._state.weights
        weights.set_gradient(torch.autograd.grad(loss, self._parameters))
        grad_norm = nn.utils.clip_grad_norm_([weights.values], self._clip_norm)
        self._state.optimizer.step()
        self._state.ema.update()
        self.values.copy_(torch.stack((loss.detach(), mse, grad_norm)))
