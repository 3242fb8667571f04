"""Where networks run."""

from __future__ import annotations

import torch


def choose_device() -> torch.device:
    """The first GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def require_determinism(device: torch.device) -> None:
    """On a CPU, let torch refuse whatever would not give the same bytes for the same seed and number of threads.

    On a GPU they need not be the same: some reductions there add in no fixed order.
    """
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        # torch would also overwrite every fresh buffer with NaN to show reads of unset memory; that only costs time here
        torch.utils.deterministic.fill_uninitialized_memory = False
