"""Where networks run."""

from __future__ import annotations

import os

import torch

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.step import Step


def choose_device(asked_for: str = "auto") -> torch.device:
    """`cpu`, `cuda` (the first GPU), or `auto`: the first GPU when there is one, else the CPU.

    PipelineError when a GPU is asked for and torch sees none.
    """
    available = torch.cuda.is_available()
    if asked_for == "cuda" and not available:
        reason = (
            "torch was built without CUDA" if torch.version.cuda is None else "no driver or no visible GPU"
        )
        raise PipelineError(
            f"device: cuda is asked for, but torch sees no GPU here ({reason}); set device: auto or cpu in config/config.yaml "
            "or with --config, or run where there is a GPU"
        )
    return torch.device("cuda" if available and asked_for != "cpu" else "cpu")


def device_of(step: Step) -> torch.device:
    """The device that the machine setting `device` leads to, float32 meaning float32 there.

    What `auto` came to is noted for the manifest.
    """
    device = choose_device(step.machine.get("device", "auto"))
    step.machine["device"] = device.type
    require_float32()
    return device


def require_float32() -> None:
    """Switch TF32 off: by itself a GPU multiplies float32 with 10 bits of mantissa in convolutions.

    Each setting is named, since torch's general one (`torch.backends.fp32_precision`) leaves that of convolutions alone.
    """
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"


def kind_of(device: torch.device) -> str:
    """`cpu`, or a GPU's model: what results are the same bytes on, as far as the device decides them."""
    return device.type if device.type == "cpu" else f"{device.type} {torch.cuda.get_device_name(device)}"


def require_determinism(device: torch.device) -> None:
    """Let torch refuse whatever would not give the same bytes for the same seed: per number of threads, or kind of GPU.

    To be called before anything is computed: cuBLAS reads its setting when it is first used.
    """
    if device.type == "cuda":
        # Eight workspaces of 4 MiB, of its own for every stream; torch accepts this value and ":16:8".
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        # Trying algorithms out would choose by the clock.
        torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
    # torch would also overwrite every fresh buffer with NaN to show reads of unset memory; that only costs time here
    torch.utils.deterministic.fill_uninitialized_memory = False
