"""The Hessian's trace from 16 probes: ours against PyHessian, the same network, batch and probe vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from networks import cifar_settings, our_network
from pyhessian import hessian
from side_by_side import Comparison
from torch import Tensor, nn

from workflow_scripts.curvature.hessian import hutchinson_trace
from workflow_scripts.curvature.probe_set import ProbeSet
from workflow_scripts.curvature.quadratic_form import QuadraticForm

PROBES, BATCH = 16, 8


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """PyHessian given one batch, where it keeps the first derivatives' graph, and given a data loader."""
    torch.manual_seed(0)
    network = our_network(cifar_settings()).to(device).eval()
    x, noise = torch.randn(2, BATCH, 3, 32, 32, device=device)
    t = torch.randint(1000, (BATCH,), device=device)
    parameters = list(network.parameters())

    probe_set = ProbeSet(0, *(np.empty(0),) * 3, PROBES, sum(parameter.numel() for parameter in parameters))

    def ours(vectors: Iterable[Tensor]) -> float:
        form = QuadraticForm(lambda: nn.functional.mse_loss(network(x, t), noise), parameters)
        return hutchinson_trace(form, vectors).value

    def as_a_probe_does() -> float:
        return ours(torch.from_numpy(vector).to(parameters[0]) for vector in probe_set.vectors())

    def theirs(data: dict[str, Any]) -> float:
        torch.manual_seed(1)
        made = hessian(AtTimesteps(network, t), nn.functional.mse_loss, **data, cuda=device.type == "cuda")
        return float(np.mean(made.trace(maxIter=PROBES, tol=0)))

    ways = {
        "PyHessian, given the batch": {"data": (x, noise)},
        "PyHessian, given a data loader": {"dataloader": [(x, noise)]},
    }
    for peer, data in ways.items():
        yield Comparison(
            what=f"Hutchinson trace, {PROBES} probes, unet_cifar32, batch {BATCH}",
            peer=peer,
            ours=as_a_probe_does,
            theirs=lambda data=data: theirs(data),
            work=1,
            unit="s",
            check=lambda data=data: abs(ours(theirs_too(parameters)) / theirs(data) - 1),
            tolerance=1e-5,
            equality="relative difference of the two estimates, from the same probe vectors",
            bar=2.2,
        )


def theirs_too(parameters: list[Tensor]) -> Iterator[Tensor]:
    """The vectors that PyHessian draws after the same seed, in one piece each."""
    torch.manual_seed(1)
    for _ in range(PROBES):
        yield torch.cat(
            [(2.0 * torch.randint_like(parameter, high=2) - 1).flatten() for parameter in parameters]
        )


class AtTimesteps(nn.Module):
    """The network as a function of the images alone, which is what PyHessian differentiates."""

    def __init__(self, network: nn.Module, t: Tensor):
        super().__init__()
        self.network, self.t = network, t

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, self.t)
