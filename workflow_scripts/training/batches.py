"""What the network meets at each step: images, timesteps and noise, all functions of (seed, step).

Arms with the same seed and batch size therefore meet the same numbers, and a resumed run meets those it had left.
"""

from __future__ import annotations

import numpy as np
import torch

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.common.randomness import stream
from workflow_scripts.data.images import to_float


class Batches:
    """Batches of `batch_size` from images u8 `[N, H, W, C]`, in an order shuffled anew for every epoch.

    The epochs follow each other without a gap: a batch may end one and begin the next, so every image is met equally
    often and no step has fewer images than another.
    """

    def __init__(self, images: np.ndarray, seed: int, batch_size: int, num_timesteps: int, device: torch.device):
        if len(images) == 0:
            raise PipelineError("there are no training images")
        self.images, self.seed, self.batch_size = images, seed, batch_size
        self.num_timesteps, self.device = num_timesteps, device
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The batch of the update that follows `step` updates: (x_start, t, noise).

        x_start and noise are float32 `[B, C, H, W]`, x_start in [-1, 1]; t is int64 `[B]`, uniform in [0, T).
        """
        x_start = to_float(self.images[self.indices(step)])
        t = stream(self.seed, "timesteps", step).integers(0, self.num_timesteps, size=self.batch_size)
        noise = stream(self.seed, "noise", step).standard_normal(tuple(x_start.shape), dtype=np.float32)
        return x_start.to(self.device), torch.from_numpy(t).to(self.device), torch.from_numpy(noise).to(self.device)

    def indices(self, step: int) -> np.ndarray:
        """Which images that batch holds: int64 `[B]`."""
        epochs, places = np.divmod(np.arange(step * self.batch_size, (step + 1) * self.batch_size), len(self.images))
        return np.concatenate([self._epoch_order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)])

    def _epoch_order(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = stream(self.seed, "order", epoch).permutation(len(self.images))
        return self._order
