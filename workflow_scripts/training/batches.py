"""The images, timesteps and noise of each step, all functions of (seed, step).

Arms with the same seed and batch size therefore see the same numbers, and a resumed run sees those that were
still to come.
"""

from __future__ import annotations

import numpy as np
import torch

from workflow_scripts.core.randomness import stream


class Batches:
    """Batches of `batch_size` from images of `shape` (N, H, W, C), reshuffled every epoch.

    Epochs follow each other without a gap: a batch may end one and begin the next, so every image comes
    equally often and every step has the same number of images.
    """

    def __init__(self, shape: tuple[int, int, int, int], seed: int, batch_size: int, num_timesteps: int):
        self.num_images, height, width, channels = shape
        self.seed, self.batch_size, self.num_timesteps = seed, batch_size, num_timesteps
        self._noise_shape = (batch_size, channels, height, width)
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def draw(self, step: int) -> dict[str, torch.Tensor]:
        """Draw the batch of the update that follows `step` updates, on the CPU.

        `indices` of images int64 `[B]`; `t` int64 `[B]`, uniform in [0, T); `noise` float32 `[B, C, H, W]`.
        """
        t = stream(self.seed, "timesteps", step).integers(0, self.num_timesteps, size=self.batch_size)
        noise = stream(self.seed, "noise", step).standard_normal(self._noise_shape, dtype=np.float32)
        drawn = {"indices": self.indices(step), "t": t, "noise": noise}
        return {name: torch.from_numpy(array) for name, array in drawn.items()}

    def indices(self, step: int) -> np.ndarray:
        """The images of that batch: int64 `[B]`."""
        epochs, places = np.divmod(
            np.arange(step * self.batch_size, (step + 1) * self.batch_size), self.num_images
        )
        return np.concatenate(
            [self._epoch_order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
        )

    def _epoch_order(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = stream(self.seed, "order", epoch).permutation(self.num_images)
        return self._order
