"""Loss weights [T]: multipliers of the per-sample MSE in the model's own prediction space. numpy only.

With the same network error, mse_x0 = mse_eps / snr = mse_v / (snr + 1). A weight stated for x0 therefore becomes
weight / snr for eps and weight / (snr + 1) for v, and the three losses are the same number.
"""

from __future__ import annotations

import numpy as np

from workflow_scripts.core.limits import check_gamma

PREDICTION_TYPES = ("eps", "x0", "v")
WEIGHTINGS = ("uniform", "min_snr", "min_snr_normalized", "truncated_snr")


def min_snr_weights(snr: np.ndarray, prediction_type: str, gamma: float) -> np.ndarray:
    """Min-SNR-gamma weights, float64 [T], of a signal-to-noise table [T] (Hang et al. 2023, section 3.4).

    min(snr, gamma) for x0, min(snr, gamma) / snr for eps, min(snr, gamma) / (snr + 1) for v.
    Raises ValueError for gamma that is not a positive number, an unknown prediction type, or snr that is not positive.
    """
    if not (np.isfinite(gamma) and gamma > 0):
        raise ValueError(f"min_snr_gamma is {gamma}; it must be a positive number")
    return _from_x0_weights(np.minimum(_checked(snr), gamma), snr, prediction_type)


def truncated_snr_weights(snr: np.ndarray, prediction_type: str) -> np.ndarray:
    """Truncated-SNR weights, float64 [T]: max(snr, 1) for x0, converted for eps and v (Salimans & Ho 2022, section 4).

    For eps this is max(1, 1 / snr), which reaches 4e8 at the last timestep of the cosine schedule.
    Raises ValueError for an unknown prediction type or snr that is not positive.
    """
    return _from_x0_weights(np.maximum(_checked(snr), 1.0), snr, prediction_type)


def loss_weights(snr: np.ndarray, prediction_type: str, weighting: str, gamma: float | None) -> np.ndarray:
    """The weight of every timestep, float64 [T], all positive.

    `weighting` is `uniform` (1), `min_snr`, `min_snr_normalized` (min_snr divided by its mean over t) or
    `truncated_snr`. `gamma` belongs to the two min_snr weightings and must be None for the others, so that no setting
    is without effect. Raises ValueError for anything else.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"loss.weighting is {weighting!r}; known are {', '.join(WEIGHTINGS)}")
    check_gamma(weighting, gamma)
    if weighting == "uniform":
        return np.ones_like(_checked(snr))
    if weighting == "truncated_snr":
        return truncated_snr_weights(snr, prediction_type)
    weights = min_snr_weights(snr, prediction_type, gamma)
    return weights / weights.mean() if weighting == "min_snr_normalized" else weights


def _checked(snr: np.ndarray) -> np.ndarray:
    snr = np.asarray(snr, dtype=np.float64)
    if not (np.isfinite(snr).all() and (snr > 0).all()):
        raise ValueError("snr must be finite and positive at every timestep")
    return snr


def _from_x0_weights(weights: np.ndarray, snr: np.ndarray, prediction_type: str) -> np.ndarray:
    snr = _checked(snr)
    if prediction_type == "x0":
        return weights
    if prediction_type == "eps":
        return weights / snr
    if prediction_type == "v":
        return weights / (snr + 1)
    raise ValueError(
        f"diffusion.prediction_type is {prediction_type!r}; known are {', '.join(PREDICTION_TYPES)}"
    )
