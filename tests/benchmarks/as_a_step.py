"""Our side as deterministic as a step of the pipeline, where it shares a process with its peer: on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workflow_scripts.training.device import require_determinism


@contextmanager
def as_a_step(device: torch.device) -> Iterator[None]:
    """On a GPU: deterministic kernels only; afterwards the peer has torch's defaults, as for its users."""
    if device.type == "cpu":
        yield
        return
    require_determinism(device)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
