"""A bound on the memory of one job, far too high and cheap: where even that fits, nothing has to be estimated (no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A process with torch and its libraries; measured 0.65 GiB, and 0.5 GiB more where a GPU's libraries are read.
PROCESS = 2**30
# Arrays of a level's size that are held at once; the most that was counted is 230, in the graph of a Hessian product.
HELD_AT_ONCE = 400


def memory_bound(settings: Mapping[str, Any]) -> int:
    """Bytes that no step of these settings (model, data, training, sampling, curvature) should ever need."""
    model, data = settings["model"], settings["data"]
    training, sampling, curvature = settings["training"], settings["sampling"], settings["curvature"]
    width = model["base_channels"] * max(model["channel_mults"])
    levels, blocks = len(model["channel_mults"]), 2 * model["num_res_blocks"] + 1
    parameters = 30 * levels * blocks * width**2
    pixels = data["image_size"] ** 2
    with_graph = max(training["batch_size"], curvature["batch_size"])
    without = max(sampling["batch_size"], curvature["timestep_mse_batch_size"])
    images = (
        (with_graph * HELD_AT_ONCE * blocks / 3 + without * HELD_AT_ONCE / 10)
        * pixels
        * model["base_channels"]
        * 4
    )
    attention = sum(
        (with_graph * 20 * blocks + without * 4) * side**4 * 4 for side in model["attention_resolutions"]
    )
    dataset = max(data.get("num_train") or 0, 70000) * (pixels * data["channels"] + 8)
    drawn = 3 * sampling["num_samples"] * pixels * data["channels"]
    return int(PROCESS + 52 * parameters + images + attention + dataset + drawn)
