"""Counted sampling noise: a sample's numbers depend on (seed, sample index) and on nothing else.

How the samples are split into batches, which arm is sampled and how many steps are taken does not change a sample's x_T; the
noise of step k is the same for every arm and split. This is exact, byte for byte, and so on every device: the words are those
of numpy's Philox, and what makes normals of them rounds alike everywhere. The images are equal to the last bits only, since
a network's convolutions may round differently for another batch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.capture import Graphs, captured
from workflow_scripts.core.device_randomness import Philox, normals
from workflow_scripts.core.randomness import philox_key, stream

# A block of Philox is four words of 64 bits; each half of a word makes a number.
WORDS, NUMBERS = 4, 8


class SampleNoise:
    """x_T and step noise of the samples `indices`, each [C, H, W] of standard normals, float32, drawn on the CPU."""

    def __init__(self, seed: int, indices: Sequence[int], shape: tuple[int, int, int]):
        self._streams = [stream(seed, "sample", index).bit_generator for index in indices]
        self._shape, self._words = shape, WORDS * blocks_of(shape)
        self.x_T = self._draw()
        self._next_step = 0

    def step(self, k: int) -> Tensor:
        """The noise of sampling step k, [B, C, H, W].

        Steps come in order from 0, as each sample's numbers do; ValueError otherwise.
        """
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
    """The same for `count` samples at a time, drawn on a GPU and left there; `start` says which samples.

    On a GPU the drawing is recorded once, for all steps and all batches of one size.
    """

    def __init__(
        self,
        seed: int,
        count: int,
        shape: tuple[int, int, int],
        device: torch.device,
        graphs: Graphs | None = None,
    ):
        self._shape, self._philox = shape, Philox(philox_key(seed, "sample"), device)
        self._indices = torch.zeros(count, 1, dtype=torch.int64, device=device)
        # numpy's generator counts before it makes a block, so that the first one is number 1
        self._blocks = torch.arange(1, 1 + blocks_of(shape), device=device)
        self._draws = torch.zeros(1, dtype=torch.int64, device=device)
        self._noise = torch.empty(count, *shape, device=device)
        self._draw = captured(self._fill, device, graphs)

    def start(self, indices: Sequence[int]) -> DeviceNoise:
        """Go to the numbers of these samples, as many as `count`, and draw their `x_T`."""
        self._indices.copy_(torch.tensor(indices)[:, None])
        self._draws.zero_()
        self._next_step = -1
        self.x_T = self.step(-1).clone()
        return self

    def step(self, k: int) -> Tensor:
        """The noise of sampling step k, [B, C, H, W]; valid until the next call, which reuses its memory.

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
    """How many blocks hold the numbers of one array of this shape; the next array starts with a block of its own."""
    return -(-prod(shape) // NUMBERS)


def numbers_of(words: Tensor, shape: tuple[int, ...]) -> Tensor:
    """float32 `[B, *shape]` from int64 `[B, words]`: the lower half of each word makes a number, then the upper half."""
    return normals(words.view(torch.int32)[:, : prod(shape)]).unflatten(1, shape)
