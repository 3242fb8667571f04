"""How stable the second half of a training is, from its log."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

ROWS = {
    "gradient_spikes": {"better": "lower"},
    "error_deviation": {"better": "lower"},
    "discriminator_saturation": {"better": "lower"},
}
SPIKE, NEIGHBOURS = 5, 51
NUM_WINDOWS = 20
SATURATED_LOSS, SATURATED_ACCURACY = 0.1, 0.95


def training_stability(log: dict[str, np.ndarray]) -> dict[str, float]:
    """Of the finite rows in the second half of the log (of steps, with training.log_every 1):

    `gradient_spikes`, the share whose generating network's gradient norm exceeds 5 times its running median
    over 51 rows; of diffusion `error_deviation`, the median absolute deviation of `mse` from its straight
    line, over its median; of a GAN `discriminator_saturation`, the share of 20 windows in which the mean of
    D's loss, half the sum for real and fake and ln 2 at chance, is below .1 or its accuracy above .95.

    Two more signs of stability compare checkpoints (frechet_roughness) and seeds.
    """
    finite = np.all([np.isfinite(values) for values in log.values()], axis=0)
    log = {name: values[finite] for name, values in log.items()}
    count = len(log["step"]) - len(log["step"]) // 2
    if count < 2:
        return {}
    padded = np.pad(log["grad_norm"], NEIGHBOURS // 2, mode="reflect")
    usual = np.median(sliding_window_view(padded, NEIGHBOURS), axis=1)
    rows = {"gradient_spikes": float((log["grad_norm"] > SPIKE * usual)[-count:].mean())}
    late = {name: values[-count:] for name, values in log.items()}
    if "mse" in late:
        rest = late["mse"] - np.polyval(np.polyfit(late["step"], late["mse"], 1), late["step"])
        rows["error_deviation"] = float(np.median(np.abs(rest - np.median(rest))) / np.median(late["mse"]))
    if "discriminator_loss" in late:
        loss, accuracy = (
            np.array([part.mean() for part in np.array_split(late[name], min(NUM_WINDOWS, count))])
            for name in ("discriminator_loss", "discriminator_accuracy")
        )
        saturated = (loss < SATURATED_LOSS) | (accuracy > SATURATED_ACCURACY)
        rows["discriminator_saturation"] = float(saturated.mean())
    return rows
