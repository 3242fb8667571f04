"""The device that networks run on, and what makes its results repeatable."""

from __future__ import annotations

import os

import torch

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.step import Step


def choose_device(asked_for: str = "auto") -> torch.device:
    """`cpu`, `cuda` (the first GPU), or `auto`: the first GPU, or Apple's (`mps`), or else the CPU.

    PipelineError when a GPU is asked for and torch sees none.
    """
    available = torch.cuda.is_available()
    if asked_for == "cuda" and not available:
        reason = (
            "torch was built without CUDA" if torch.version.cuda is None else "no driver or no visible GPU"
        )
        raise PipelineError(
            f"device: cuda is asked for, but torch sees no GPU here ({reason}); "
            "set device: auto or cpu in config/config.yaml or with --config, or run where there is a GPU"
        )
    apples = "mps" if asked_for == "auto" and torch.backends.mps.is_available() else "cpu"
    return torch.device("cuda" if available and asked_for != "cpu" else apples)


def device_of(step: Step) -> torch.device:
    """Choose the device by the machine setting `device`, note it for the manifest, and switch TF32 off."""
    device = choose_device(step.machine.get("device", "auto"))
    step.machine["device"] = device.type
    require_float32()
    return device


def require_float32() -> None:
    """Switch TF32 off, with which a GPU's convolutions multiply float32 with 10 bits of mantissa by default.

    Sets each switch, since torch's general one (`torch.backends.fp32_precision`) leaves out convolutions.
    """
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"


def kind_of(device: torch.device) -> str:
    """`cpu`, `mps`, or the GPU's model: devices of one kind give the same bytes."""
    return f"cuda {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def require_determinism(device: torch.device) -> None:
    """Make torch refuse operations that may give other bytes in the next run.

    Bytes then depend on the kind of device and the number of threads only.
    Call it before computing anything: cuBLAS reads its setting at first use.
    """
    if device.type == "cuda":
        # Eight workspaces of 4 MiB per stream; torch accepts this value and ":16:8".
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        # The benchmark would choose algorithms by the clock.
        torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
    # torch would also fill every new buffer with NaN to reveal reads of unset memory, which costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False
