"""Three digits stacked as the channels of one image: 1,000 modes to hit or to miss (Metz et al. 2017)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.core.randomness import stream
from workflow_scripts.data.dataset import Dataset, Split

CHANNELS = 3


def stacked(digits: Dataset, num_train: int | None, num_test: int, seed: int) -> Dataset:
    """Draw `num_train` and `num_test` images u8 [N, H, W, 3] from the digits of each part by themselves.

    Each channel is a digit drawn evenly from all, by (seed, part); the label reads them in their order, 0 to
    999. ConfigError unless `num_train` is a number.
    """
    if num_train is None:
        raise ConfigError("data.num_train: must be a number, since stacked digits are drawn, not counted")

    def draw(part: str, split: Split, count: int) -> Split:
        chosen = stream(seed, f"stack_{part}").integers(0, len(split.images), size=(count, CHANNELS))
        images = split.images[chosen, :, :, 0].transpose(0, 2, 3, 1)
        labels = split.labels[chosen] @ np.array([100, 10, 1])
        return Split(np.ascontiguousarray(images), labels)

    return replace(
        digits,
        train=draw("train", digits.train, num_train),
        test=draw("test", digits.test, num_test),
        classes=tuple(f"{label:03d}" for label in range(10**CHANNELS)),
        preparation=f"{digits.preparation}; three drawn at random are the channels of one image",
    )
