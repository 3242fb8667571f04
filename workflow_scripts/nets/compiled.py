"""A network that is trained no more, with its element-wise operations fused by torch's compiler: on a GPU.

There its time is that of moving activations: norms, activations, casts and biases each read and write them. In bfloat16, 500
images of the preregistered network took 2.3 ms instead of 7.6 on an H200 (docs/gpu.md). Compiling takes 12 to 14 s, less
where a machine has done it before (torch keeps what it made).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn

COMPILERS = ("cc", "gcc", "clang")


def can_compile(device: torch.device) -> bool:
    """Whether there is what torch's compiler needs: a GPU, Triton, and a C compiler, with which Triton builds its launchers."""
    has_compiler = bool(os.environ.get("CC")) or any(map(shutil.which, COMPILERS))
    return device.type == "cuda" and find_spec("triton") is not None and has_compiler


def compiled(network: nn.Module, memory_format: str) -> Callable[[Tensor, Tensor], Tensor]:
    """`network` compiled for each shape that it meets, keeping images in `memory_format`.

    Compiled on one kind of GPU it gives the same bytes every time: the compiler times no variants against each other.
    """
    options = {"deterministic": True, "layout_optimization": memory_format == "channels_last"}
    return torch.compile(network, dynamic=False, options=options)
