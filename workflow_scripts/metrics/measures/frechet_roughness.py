"""How roughly the Fréchet distance falls from checkpoint to checkpoint."""

from __future__ import annotations

import numpy as np

from workflow_scripts.metrics.measures.training_smoothness import excess

ROWS = {
    "frechet_excess_variation": {"better": "lower"},
    "frechet_rises": {"better": "lower", "unit": "nats"},
    "frechet_last_over_best": {"better": 1},
}


def frechet_roughness(distances: np.ndarray) -> dict[str, float]:
    """Of the logarithms of the Fréchet distances [checkpoints], above 0, in the order of training:

    `frechet_excess_variation`, the sum of |changes| over the net fall, minus 1; a distance that does not fall
    has none. `frechet_rises`, the sum of rises, which every run has. `frechet_last_over_best`, the last
    distance over the least. They compare networks of different kinds, a GAN's and diffusion's, whose losses
    cannot be compared.
    """
    logs = np.log(distances)
    return {
        "frechet_excess_variation": excess(logs),
        "frechet_rises": float(np.diff(logs).clip(min=0).sum()),
        "frechet_last_over_best": float(distances[-1] / distances.min()),
    }
