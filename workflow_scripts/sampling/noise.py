"""Counted sampling noise: a sample's numbers depend on (seed, sample index) alone.

Batch size, arm and number of steps do not change a sample's x_T, nor its noise of step k. This holds byte for
byte and on every device: the words are those of numpy's Philox, and their conversion to normals rounds alike
everywhere. The images may differ in their last bits, since a network's convolutions may round differently for
another batch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.capture import captured
from workflow_scripts.core.device_randomness import Philox, normals
from workflow_scripts.core.randomness import philox_key, stream

# A block of Philox is four words of 64 bits; each half of a word makes one number.
WORDS, NUMBERS = 4, 8


class SampleNoise:
    """x_T and step noise of the samples `indices`: standard normals float32, drawn on the CPU."""

    def __init__(self, seed: int, indices: Sequence[int], shape: tuple[int, int, int]):
        self._streams = [stream(seed, "sample", index).bit_generator for index in indices]
        self._shape, self._words = shape, WORDS * blocks_of(shape)
        self.x_T = self._draw()
        self._next_step = 0

    def step(self, k: int) -> Tensor:
        """The noise of sampling step k, [B, C, H, W]. ValueError unless steps come in order from 0."""
        if k != self._next_step:
            raise ValueError(f"noise is drawn in order: step {self._next_step} comes next, not {k}")
        self._next_step += 1
        return self._draw()

    def _draw(self) -> Tensor:
        words = np.empty((len(self._streams), self._words), dtype=np.uint64)
        for generator, row in zip(self._streams, words, strict=True):
            row[:] = generator.random_raw(self._words)
        return numbers_of(torch.from_numpy(words.view(np.int64)), self._shape)


class DeviceNoise:
    """The same numbers for `count` samples at a time, drawn on `device`; `start` selects the samples.

    A GPU records the drawing once, for all steps and all batches.
    """

    def __init__(self, seed: int, count: int, shape: tuple[int, int, int], device: torch.device):
        self._shape, self._philox = shape, Philox(philox_key(seed, "sample"), device)
        self._indices = torch.zeros(count, 1, dtype=torch.int64, device=device)
        # numpy's generator counts before it makes a block, so the first is number 1.
        self._blocks = torch.arange(1, 1 + blocks_of(shape), device=device)
        self._draws = torch.zeros(1, dtype=torch.int64, device=device)
        self._noise = torch.empty(count, *shape, device=device)
        self._draw = captured(self._fill, device)

    def start(self, indices: Sequence[int]) -> DeviceNoise:
        """Go to the numbers of these `count` samples and draw their `x_T`."""
        self._indices.copy_(torch.tensor(indices)[:, None])
        self._draws.zero_()
        self._next_step = -1
        self.x_T = self.step(-1).clone()
        return self

    def step(self, k: int) -> Tensor:
        """The noise of sampling step k, [B, C, H, W]; the next call overwrites it.

        ValueError unless steps come in order from 0.
        """
        if k != self._next_step:
            raise ValueError(f"noise is drawn in order: step {self._next_step} comes next, not {k}")
        self._next_step += 1
        self._draw()
        return self._noise

    def _fill(self) -> None:
        words = self._philox(self._blocks + self._draws * len(self._blocks), self._indices)
        self._noise.copy_(numbers_of(words.flatten(1), self._shape))
        self._draws.add_(1)


def blocks_of(shape: tuple[int, ...]) -> int:
    """The number of blocks for one array of this shape; the next array starts with a new block."""
    return -(-prod(shape) // NUMBERS)


def numbers_of(words: Tensor, shape: tuple[int, ...]) -> Tensor:
    """float32 `[B, *shape]` from int64 `[B, words]`, the lower half of each word first."""
    return normals(words.view(torch.int32)[:, : prod(shape)]).unflatten(1, shape)
