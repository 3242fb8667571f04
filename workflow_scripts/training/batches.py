"""Which images each update sees, a function of (seed, step).

Arms with the same seed and batch size therefore see the same images, and a resumed run sees those that were
still to come.
"""

from __future__ import annotations

import numpy as np

from workflow_scripts.core.randomness import stream


class Order:
    """Batches of `batch_size` of `num_images` images, reshuffled every epoch.

    Epochs follow each other without a gap: a batch may end one and begin the next, so every image comes
    equally often and every step has the same number of images.
    """

    def __init__(self, num_images: int, seed: int, batch_size: int):
        self.num_images, self.seed, self.batch_size = num_images, seed, batch_size
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def indices(self, step: int) -> np.ndarray:
        """The images of the update that follows `step` updates: int64 `[B]`."""
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
