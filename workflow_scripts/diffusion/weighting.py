"""Loss weights [T]: multipliers of the per-sample MSE in the model's own prediction space. numpy only.

With the same network error, mse_x0 = mse_eps / snr = mse_v / (snr + 1). A weight stated for x0 therefore
becomes weight / snr for eps and weight / (snr + 1) for v, and the three losses are the same number.
"""

from __future__ import annotations

import numpy as np

from workflow_scripts.core import registry
from workflow_scripts.core.limits import check_gamma

PREDICTION_TYPES = ("eps", "x0", "v")


def loss_weights(snr: np.ndarray, prediction_type: str, weighting: str, gamma: float | None) -> np.ndarray:
    """The weight of every timestep, float64 [T], from its signal-to-noise ratio [T].

    `weighting` is a name in diffusion/weightings or `package.module:name`. ConfigError for an unknown one,
    ValueError for a gamma that is missing or not used.
    """
    function = registry.load("loss.weighting", weighting)
    check_gamma(weighting, gamma)
    given = {} if gamma is None else {"gamma": gamma}
    weights = np.asarray(function(np.asarray(snr, dtype=np.float64), prediction_type, **given))
    if weights.shape != np.shape(snr) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(f"loss.weighting {weighting} gave other than {len(snr)} finite weights >= 0")
    return weights.astype(np.float64)


def from_x0(for_x0: np.ndarray, snr: np.ndarray, prediction_type: str) -> np.ndarray:
    """Convert weights [T] that are stated for x0 to the model's own prediction space."""
    return for_x0 / {"x0": 1.0, "eps": snr, "v": snr + 1}[prediction_type]
