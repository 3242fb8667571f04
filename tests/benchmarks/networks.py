"""The study's U-Net for 32x32 images, and diffusers' of equal size and depth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from workflow_scripts.nets.build import build_model
from workflow_scripts.study.config import load_study
from workflow_scripts.training.device import require_determinism

ROOT = Path(__file__).parents[2]


def cifar_settings() -> dict[str, Any]:
    """Settings of the baseline arm at the preregistered preset."""
    return load_study(ROOT, "MS1_min_snr", "cifar10").arms[0].settings


def our_network(settings: dict[str, Any], seed: int = 0) -> nn.Module:
    """The U-Net in training mode with weights as after some training: no layer is left at zero."""
    torch.manual_seed(seed)
    network = build_model(settings["model"], settings["data"]["channels"], settings["data"]["image_size"])
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return network


def their_network(settings: dict[str, Any], seed: int = 0) -> UNet2DModel:
    """diffusers' U-Net of the same depth: four levels, one block each way, attention at 16 and 8 pixels.

    Its widths give the parameters and multiplications of ours within 1 % (`size` counts both).
    """
    torch.manual_seed(seed)
    return UNet2DModel(
        sample_size=settings["data"]["image_size"],
        in_channels=settings["data"]["channels"],
        out_channels=settings["data"]["channels"],
        layers_per_block=1,
        block_out_channels=(24, 48, 48, 104),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=None,  # one head, as ours
        norm_num_groups=settings["model"]["norm_groups"],
        dropout=settings["model"]["dropout"],
    )


class Plain(nn.Module):
    """A diffusers network as `network(x, t) -> Tensor`, as the library calls it."""

    def __init__(self, network: UNet2DModel):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.network(x, t, return_dict=False)[0]


def size(network: nn.Module, batch: int = 2) -> tuple[int, float]:
    """Parameters, and FLOP of a 32x32 image's forward pass (a multiply-add counts two)."""
    x, t = torch.zeros(batch, 3, 32, 32), torch.zeros(batch, dtype=torch.int64)
    plain = Plain(network) if isinstance(network, UNet2DModel) else network
    with FlopCounterMode(display=False) as counter:  # with gradients: it knows no fused attention of a CPU
        plain(x, t)
    return sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops() / batch


@contextmanager
def as_a_step(device: torch.device) -> Iterator[None]:
    """Allow only deterministic kernels for our side on a GPU; afterwards the peer has torch's defaults."""
    if device.type == "cpu":
        yield
        return
    require_determinism(device)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
