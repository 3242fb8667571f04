"""Where training runs."""

from __future__ import annotations

import torch


def choose_device() -> torch.device:
    """The first GPU when there is one, else the CPU with torch held to deterministic algorithms.

    On a CPU the same seed and number of threads give the same bytes. On a GPU they need not: some reductions there add
    in no fixed order.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.use_deterministic_algorithms(True)
    # torch would also overwrite every fresh buffer with NaN to show reads of unset memory; that only costs time here
    torch.utils.deterministic.fill_uninitialized_memory = False
    return torch.device("cpu")
