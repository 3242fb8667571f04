"""Philox4x64-10 (Salmon et al. 2011, section 3.3) in tensor operations: on any device the words that numpy's generator gives."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 10
# Table 2 and section 3.3 of the paper: multipliers of the counter's first and third word, and what is added to the key.
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
LOW = 0xFFFFFFFF


class Philox:
    """`Philox(key, device)(first, second) -> int64 [..., 4]`: the blocks of the counters (first, second, 0, 0).

    `key` is two words in [0, 2**64); both counters are int64 and broadcast. A word in [0, 2**64) lies in an int64 as its
    bits do.
    """

    def __init__(self, key: tuple[int, int], device: torch.device):
        keys = [
            [(word + number * step) % 2**64 for word, step in zip(key, KEY_STEPS)] for number in range(ROUNDS)
        ]
        self._keys = [tuple(map(_signed, words)) for words in keys]

        def both(words: tuple[int, ...]) -> Tensor:
            return torch.tensor([_signed(word) for word in words], device=device)

        self._multipliers = both(MULTIPLIERS)
        self._low, self._high = (
            both(tuple(word & LOW for word in MULTIPLIERS)),
            both(tuple(word >> 32 for word in MULTIPLIERS)),
        )

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        first, second = torch.broadcast_tensors(first, second)
        # The words that are multiplied, and those that are not; both pairs lie in the last dimension.
        multiplied = torch.stack((first, torch.zeros_like(first)), dim=-1)
        others = torch.stack((second, torch.zeros_like(second)), dim=-1)
        for key in self._keys:
            high, low = self._product(multiplied)
            swapped = high.flip(-1) ^ others
            multiplied = torch.stack((swapped[..., 0] ^ key[0], swapped[..., 1] ^ key[1]), dim=-1)
            others = low.flip(-1)
        return torch.stack((multiplied[..., 0], others[..., 0], multiplied[..., 1], others[..., 1]), dim=-1)

    def _product(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """The upper and lower 64 bits of the products with the multipliers, from products of 32 bits."""
        low, high = words & LOW, _upper(words)
        middle = high * self._low + _upper(low * self._low)
        other = low * self._high + (middle & LOW)
        return high * self._high + _upper(middle) + _upper(other), words * self._multipliers


def _upper(words: Tensor) -> Tensor:
    # an int64 is shifted with its sign
    return (words >> 32) & LOW


def _signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word
