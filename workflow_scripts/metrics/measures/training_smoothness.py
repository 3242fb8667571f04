"""How smoothly and how far the squared error of a diffusion training falls, epoch by epoch."""

from __future__ import annotations

import numpy as np

from workflow_scripts.core.epochs import epoch_means

ROWS = {
    "excess_total_variation": {"better": "lower"},
    "error_reduction_epoch10": {"better": "higher"},
    "error_reduction_epoch50": {"better": "higher"},
    "error_below_zero_predictor_epoch10": {"better": "higher"},
    "error_below_zero_predictor_epoch50": {"better": "higher"},
}
EPOCHS = (10, 50)


def training_smoothness(
    log: dict[str, np.ndarray], batch_size: int, num_real: int, prediction_type: str
) -> dict[str, float]:
    """Of the means L_1 to L_n of the unweighted error `mse` over whole epochs:

    `excess_total_variation`, see `excess`; `error_reduction_epoch<e>`, 1 - L_e / L_1 at epochs 10 and 50 (the
    hypothesis names the epoch by the row's name); and where the network predicts the noise, whose mean square
    is 1, `error_below_zero_predictor_epoch<e>`, 1 - L_e: against always saying zero.

    A log without `mse` (a GAN's, whose losses are no errors), with windows longer than an epoch, or shorter
    than two epochs has no rows; epochs after a run diverged do not count.
    """
    means = epoch_means(log["step"], log["mse"], num_real / batch_size) if "mse" in log else []
    if len(means) < 2:
        return {}
    rows = {"excess_total_variation": excess(means)}
    for epoch in EPOCHS:
        if epoch <= len(means):
            rows[f"error_reduction_epoch{epoch}"] = float(1 - means[epoch - 1] / means[0])
            if prediction_type == "eps":
                rows[f"error_below_zero_predictor_epoch{epoch}"] = float(1 - means[epoch - 1])
    return rows


def excess(values: np.ndarray) -> float:
    """The sum of |changes| over the net fall, minus 1: 0 if values only fall, nan if they do not."""
    fall = values[0] - values[-1]
    # the sum of |changes| is the fall and twice the rises
    return float(2 * np.diff(values).clip(min=0).sum() / fall) if fall > 0 else float("nan")
