"""How many modes of many samples show, for stacked digits."""

from __future__ import annotations

import numpy as np

from workflow_scripts.metrics.measures.class_histogram import kl

ROWS = {"modes_hit": {"better": "higher", "unit": "modes"}, "modes_kl": {"better": "lower", "unit": "nats"}}


def modes(predicted: np.ndarray, num_classes: int) -> dict[str, float]:
    """Lin et al. 2018 (PacGAN), section 4.1: the classes seen among samples, and KL(samples || uniform).

    N samples drawn evenly from K modes hit about K (1 - exp(-N / K)), and their KL is about (K - 1) / 2N: 777
    of 1,000 by 1,500 samples, all by 10,000. Compare equal numbers of samples only.
    """
    counts = np.bincount(predicted, minlength=num_classes)
    uniform = np.full(num_classes, 1 / num_classes)
    return {"modes_hit": float((counts > 0).sum()), "modes_kl": kl(counts / counts.sum(), uniform)}
