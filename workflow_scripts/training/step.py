"""One training update: its state, and its arithmetic as one function of fixed tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from workflow_scripts.core.capture import captured, send
from workflow_scripts.core.randomness import torch_seed
from workflow_scripts.data.images import scaled
from workflow_scripts.diffusion.objective import weighted_mse
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.diffusion.weighting import loss_weights
from workflow_scripts.nets.build import build_model
from workflow_scripts.nets.precision import in_precision
from workflow_scripts.nets.weights import ExponentialMovingAverage, FlatWeights
from workflow_scripts.training.batches import Batches


@dataclass
class TrainingState:
    """Everything that one update hands to the next; `step` counts the updates done."""

    weights: FlatWeights
    ema: ExponentialMovingAverage
    optimizer: torch.optim.Optimizer
    step: int = 0

    @property
    def model(self) -> nn.Module:
        """The network being trained, whose parameters are views of the weights."""
        return self.weights.network

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on exactly here; safe for torch.load with weights_only."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved state of a run with the same settings."""
        self.model.load_state_dict(state["model"])
        self.ema.model.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def initial_state(settings: Mapping[str, Any], device: torch.device) -> TrainingState:
    """The state before the first update, the same for arms with the same model settings and seed."""
    torch.manual_seed(torch_seed(settings["seed"], "init"))
    model = build_model(settings["model"], settings["data"]["channels"], settings["data"]["image_size"])
    return state_of(model.to(device), settings["training"])


def state_of(model: nn.Module, training: Mapping[str, Any]) -> TrainingState:
    """The state before the first update of `model`, whose parameters become views of one tensor."""
    weights = FlatWeights(model)
    # capturable: its step count is a tensor, so a recorded update keeps counting
    on_a_gpu = weights.values.device.type == "cuda"
    optimizer = torch.optim.Adam(
        [weights.values], lr=training["learning_rate"], fused=True, capturable=on_a_gpu
    )
    return TrainingState(weights, ExponentialMovingAverage(weights, training["ema_decay"]), optimizer)


class TrainingStep:
    """Ho et al. 2020, algorithm 1, on a batch: the gradient of the weighted loss, clipping, Adam, EMA.

    `data` are arrays of N entries by name: `images` u8 `[N, H, W, C]`, `labels` i64 `[N]`. Those that the
    loss `asks` for stay on the network's device; for each update the host sends indices into them, timesteps
    and noise. `values`, float32 `[3]` on the device, are the last update's loss, unweighted MSE and gradient
    norm before clipping; the next update overwrites them. Load a state, or set the network to train,
    before making this.
    """

    asks: tuple[str, ...] = ("images",)

    def __init__(self, state: TrainingState, data: Mapping[str, np.ndarray], settings: Mapping[str, Any]):
        training, device = settings["training"], state.weights.values.device
        diffusion = GaussianDiffusion.from_settings(settings["diffusion"])
        weighting, gamma = settings["loss"]["weighting"], settings["loss"]["min_snr_gamma"]
        weights = loss_weights(diffusion.snr.numpy(), diffusion.prediction_type, weighting, gamma)
        self._state, self._seed = state, settings["seed"]
        self._diffusion, self._weights = diffusion.to(device), torch.from_numpy(weights).to(device)
        self._network = in_precision(state.model, training["precision"])
        self._parameters, self._clip_norm = list(state.model.parameters()), training["grad_clip_norm"]
        # A network without this parameter may draw numbers too.
        self._has_dropout = settings["model"].get("dropout") != 0
        # torch.manual_seed also seeds every other kind of device, which takes half a millisecond.
        self._seed_generator = (
            torch.default_generator.manual_seed if device.type == "cpu" else torch.manual_seed
        )
        self._data = {name: torch.from_numpy(data[name]).to(device) for name in self.asks}
        shape = data["images"].shape
        self._batches = Batches(shape, self._seed, training["batch_size"], diffusion.num_timesteps)
        drawn = self._batches.draw(state.step)
        self._inputs = {name: torch.empty_like(value, device=device) for name, value in drawn.items()}
        self.values = torch.empty(3, device=device)
        self._run = captured(self._update, device)

    def run(self) -> None:
        """Do the update that follows `state.step` updates; a GPU may still be busy when this returns."""
        for name, drawn in self._batches.draw(self._state.step).items():
            send(drawn, self._inputs[name])
        if self._has_dropout:
            # Outside the recorded update, which draws from the generator as it finds it.
            self._seed_generator(torch_seed(self._seed, "dropout", self._state.step))
        self._run()
        self._state.step += 1

    def loss(self, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """(loss, unweighted MSE) of a batch by name: what the class `asks` for, `t` `[B]` and `noise`."""
        x_start = scaled(batch["images"].permute(0, 3, 1, 2))
        t, noise = batch["t"], batch["noise"]
        return weighted_mse(self._network, self._diffusion, self._weights, x_start, t, noise)

    def _update(self) -> None:
        indices = self._inputs["indices"]
        chosen = {name: values.index_select(0, indices) for name, values in self._data.items()}
        loss, mse = self.loss(self._inputs | chosen)
        weights = self._state.weights
        weights.set_gradient(torch.autograd.grad(loss, self._parameters))
        # torch's clip_grad_norm_, whose overhead is 1 % of a small network's update.
        grad_norm = torch.linalg.vector_norm(weights.values.grad)
        weights.values.grad.mul_((self._clip_norm / (grad_norm + 1e-6)).clamp(max=1.0))
        self._state.optimizer.step()
        self._state.ema.update()
        self.values.copy_(torch.stack((loss.detach(), mse, grad_norm)))
