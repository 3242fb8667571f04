"""Loss weights [T]: multipliers of the per-sample MSE in the model's own prediction space. numpy only.

With the same network error, mse_x0 = mse_eps / snr = mse_v / (snr + 1). A weight stated for x0 therefore
becomes weight / snr for eps and weight / (snr + 1) for v, and the three losses are the same number.
"""

from __future__ import annotations

import numpy as np

from workflow_scripts.core.limits import check_gamma

PREDICTION_TYPES = ("eps", "x0", "v")
WEIGHTINGS = ("uniform", "min_snr", "min_snr_normalized", "truncated_snr")


def loss_weights(snr: np.ndarray, prediction_type: str, weighting: str, gamma: float | None) -> np.ndarray:
    """The weight of every timestep, float64 [T], from its signal-to-noise ratio [T].

    `uniform` is 1 in any prediction space. The others are stated for x0 and converted: `min_snr` is min(snr,
    gamma) (Hang et al. 2023, section 3.4), `min_snr_normalized` the same divided by its mean over t, and
    `truncated_snr` max(snr, 1) (Salimans & Ho 2022, section 4), which for eps reaches 4e8 at the last
    timestep of the cosine schedule. The two min_snr weightings need a positive `gamma`, the others take None.
    ValueError for an unknown weighting, or a gamma that is missing or not used.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"loss.weighting is {weighting!r}; known are {', '.join(WEIGHTINGS)}")
    check_gamma(weighting, gamma)
    snr = np.asarray(snr, dtype=np.float64)
    if weighting == "uniform":
        return np.ones_like(snr)
    for_x0 = np.maximum(snr, 1.0) if weighting == "truncated_snr" else np.minimum(snr, gamma)
    weights = for_x0 / {"x0": 1.0, "eps": snr, "v": snr + 1}[prediction_type]
    return weights / weights.mean() if weighting == "min_snr_normalized" else weights
