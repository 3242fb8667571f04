"""One training update: its state, and its arithmetic as one function of fixed tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workflow_scripts.core import registry
from workflow_scripts.core.capture import captured, send
from workflow_scripts.core.randomness import torch_seed
from workflow_scripts.data.dataset import asked
from workflow_scripts.nets.weights import ExponentialMovingAverage, FlatWeights
from workflow_scripts.training.batches import Order
from workflow_scripts.training.learning_rate import learning_rate_factor


class Trained:
    """A network, whose parameters become views of one tensor, and its Adam with these arguments.

    `scheduled` makes its learning rate a tensor, which `set_rate` changes in a recorded update too.
    """

    def __init__(self, network: nn.Module, scheduled: bool = False, **adam: Any):
        self.weights, self.network = FlatWeights(network), network
        self.device = self.weights.values.device
        # capturable: its step count is a tensor, so a recorded update keeps counting
        on_a_gpu = self.device.type == "cuda"
        self._full_rate = adam["lr"]
        if scheduled:
            adam["lr"] = torch.tensor(self._full_rate, device=self.device)
        self.optimizer = torch.optim.Adam([self.weights.values], fused=True, capturable=on_a_gpu, **adam)
        self._parameters = list(network.parameters())

    def set_rate(self, factor: Tensor) -> None:
        """Train at this share, a scalar on the device, of the full learning rate from now on."""
        self.optimizer.param_groups[0]["lr"].copy_(factor * self._full_rate)

    def load_optimizer(self, state: Mapping[str, Any]) -> None:
        """Load Adam's state; a learning rate that is a tensor stays the one that updates have recorded."""
        (group,) = self.optimizer.param_groups
        rate = group["lr"]
        self.optimizer.load_state_dict(state)
        (group,) = self.optimizer.param_groups
        group["lr"] = rate

    def descend(self, loss: Tensor, clip_norm: float) -> Tensor:
        """Do one step of Adam down the clipped gradient of a scalar loss; return its norm before clipping."""
        self.weights.set_gradient(torch.autograd.grad(loss, self._parameters))
        # torch's clip_grad_norm_, whose overhead is 1 % of a small network's update.
        gradient = self.weights.values.grad
        grad_norm = torch.linalg.vector_norm(gradient)
        gradient.mul_((clip_norm / (grad_norm + 1e-6)).clamp(max=1.0))
        self.optimizer.step()
        return grad_norm


@dataclass
class TrainingState:
    """Everything that one update hands to the next; `step` counts the updates done.

    `method` (methods/__init__.py) does the updates. `trained` has its networks by name; the first one
    generates, and `ema` is its moving average.
    """

    method: Any
    trained: dict[str, Trained]
    ema: ExponentialMovingAverage
    step: int = 0

    @property
    def model(self) -> nn.Module:
        """The network that generates."""
        return next(iter(self.trained.values())).network

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on exactly here; safe for torch.load with weights_only."""
        return {
            "networks": {name: one.network.state_dict() for name, one in self.trained.items()},
            "optimizers": {name: one.optimizer.state_dict() for name, one in self.trained.items()},
            "ema": self.ema.model.state_dict(),
            "step": self.step,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved state of a run with the same settings."""
        for name, one in self.trained.items():
            one.network.load_state_dict(state["networks"][name])
            one.load_optimizer(state["optimizers"][name])
        self.ema.model.load_state_dict(state["ema"])
        self.step = state["step"]


def initial_state(
    settings: Mapping[str, Any], device: torch.device, network: nn.Module | None = None
) -> TrainingState:
    """The state before the first update, the same for arms with the same networks and seed.

    `network` is the trained one that `method.network` names.
    """
    own = dict(settings["method"]) | ({} if network is None else {"network": network.to(device)})
    method = registry.load("method.name", own.pop("name"))(settings, **own)
    torch.manual_seed(torch_seed(settings["seed"], "init"))
    return state_of(method, method.networks(), settings["training"], device)


def state_of(
    method: Any, networks: Mapping[str, nn.Module], training: Mapping[str, Any], device: torch.device
) -> TrainingState:
    """The state before the first update of a method's networks."""
    scheduled = learning_rate_factor(training, 0) is not None
    rate = {"lr": training["learning_rate"], "scheduled": scheduled}
    trained = {
        name: Trained(network.to(device), **rate | method.adam.get(name, {}))
        for name, network in networks.items()
    }
    generates = next(iter(trained.values()))
    return TrainingState(method, trained, ExponentialMovingAverage(generates.weights, training["ema_decay"]))


class TrainingStep:
    """Runs the updates of a state's method.

    `data` are the arrays of a Split, of N entries (data/dataset.py). Those that the
    method `asks` for stay on the networks' device; for each update the host sends indices into them, and what
    the method draws. `values`, float32 `[len(method.columns)]` on the device, are what the last update logs;
    the next one overwrites them. Load a state, or set the networks to train, before making this.
    """

    def __init__(self, state: TrainingState, data: Mapping[str, np.ndarray], settings: Mapping[str, Any]):
        method, device = state.method, next(iter(state.trained.values())).device
        self._state, self._seed, self._training = state, settings["seed"], settings["training"]
        # A network without this parameter may draw numbers too.
        self._has_dropout = settings["model"].get("dropout") != 0
        # torch.manual_seed also seeds every other kind of device, which takes half a millisecond.
        self._seed_generator = (
            torch.default_generator.manual_seed if device.type == "cpu" else torch.manual_seed
        )
        chosen = asked(data, method.asks, settings["method"]["name"])
        self._data = {name: torch.from_numpy(values).to(device) for name, values in chosen.items()}
        self._order = Order(len(data["images"]), self._seed, settings["training"]["batch_size"])
        self._inputs = {
            name: torch.empty_like(drawn, device=device) for name, drawn in self._draw(state.step).items()
        }
        self.values = torch.empty(len(method.columns), device=device)
        self._update = method.updater(state)
        self._run = captured(self._work, device)

    def run(self) -> None:
        """Do the update that follows `state.step` updates; a GPU may still be busy when this returns."""
        for name, drawn in self._draw(self._state.step).items():
            send(drawn, self._inputs[name])
        if self._has_dropout:
            # Outside the recorded update, which draws from the generator as it finds it.
            self._seed_generator(torch_seed(self._seed, "dropout", self._state.step))
        self._run()
        self._state.step += 1

    def _draw(self, step: int) -> dict[str, Tensor]:
        drawn = {"indices": torch.from_numpy(self._order.indices(step)), **self._state.method.draw(step)}
        if (factor := learning_rate_factor(self._training, step)) is not None:
            drawn["learning_rate_factor"] = torch.tensor(factor)
        return drawn

    def _work(self) -> None:
        indices = self._inputs["indices"]
        chosen = {name: values.index_select(0, indices) for name, values in self._data.items()}
        if (factor := self._inputs.get("learning_rate_factor")) is not None:
            for trained in self._state.trained.values():
                trained.set_rate(factor)
        self.values.copy_(self._update(self._inputs | chosen))
