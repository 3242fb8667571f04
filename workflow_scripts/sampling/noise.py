"""Counted sampling noise: a sample's numbers depend on (seed, sample index) and on nothing else.

How the samples are split into batches, which arm is sampled and how many steps are taken does not change a sample's
x_T; the noise of step k is the same for every arm and split. This is exact, byte for byte. The images are equal to the
last bits only, since a network's convolutions may round differently for another batch size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.common.randomness import stream


class SampleNoise:
    """x_T and step noise of the samples `indices`, each [C, H, W] of standard normals, float32 on the CPU."""

    def __init__(self, seed: int, indices: Sequence[int], shape: tuple[int, int, int]):
        self._streams = [stream(seed, "sample", index) for index in indices]
        self._buffer = np.empty((len(self._streams), *shape), dtype=np.float32)
        self.x_T = torch.from_numpy(self._draw().copy())
        self._next_step = 0

    def step(self, k: int) -> Tensor:
        """The noise of sampling step k, [B, C, H, W]; valid until the next call, which reuses its memory.

        Steps come in order from 0, as each sample's numbers do; ValueError otherwise.
        """
        if k != self._next_step:
            raise ValueError(f"noise is drawn in order: step {self._next_step} comes next, not {k}")
        self._next_step += 1
        return torch.from_numpy(self._draw())

    def _draw(self) -> np.ndarray:
        for generator, row in zip(self._streams, self._buffer, strict=True):
            generator.standard_normal(dtype=np.float32, out=row)
        return self._buffer
