"""Random words and standard normals in tensor operations, with the same bytes on every device.

Philox gives the words of numpy's generator of that name. `normals` turns words into normals by the inverse of
the normal distribution function: conversions, sums and products only, which every device rounds alike, unlike
a logarithm or a cosine.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

# Philox4x64-10: rounds, multipliers of the counter's first and third word (table 2), additions to the key
# (section 3.3).
ROUNDS = 10
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
LOW = 0xFFFFFFFF

# Each power of two is cut into 2**PARTS parts; WITHIN bits of the mantissa are left for the place within a
# part.
PARTS = 6
WITHIN = 23 - PARTS
EXPONENT_OF_ONE = 127 << PARTS


class Philox:
    """Philox4x64-10 (Salmon et al. 2011, sec. 3.3): `Philox(key, device)(first, second) -> int64 [..., 4]`.

    `key` is two words in [0, 2**64). `first` and `second` are int64 and broadcast; the result is the blocks
    of the counters (first, second, 0, 0). An int64 holds the bits of a word in [0, 2**64).
    """

    def __init__(self, key: tuple[int, int], device: torch.device):
        keys = [
            [(word + number * step) % 2**64 for word, step in zip(key, KEY_STEPS)] for number in range(ROUNDS)
        ]
        self._keys = [tuple(map(_signed, words)) for words in keys]

        def tensor(words: list[int]) -> Tensor:
            return torch.tensor([_signed(word) for word in words], device=device)

        self._multipliers = tensor(list(MULTIPLIERS))
        self._low = tensor([word & LOW for word in MULTIPLIERS])
        self._high = tensor([word >> 32 for word in MULTIPLIERS])

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        first, second = torch.broadcast_tensors(first, second)
        # The two words that are multiplied, and the two that are not, each pair in the last dimension.
        multiplied = torch.stack((first, torch.zeros_like(first)), dim=-1)
        others = torch.stack((second, torch.zeros_like(second)), dim=-1)
        for key in self._keys:
            high, low = self._product(multiplied)
            swapped = high.flip(-1) ^ others
            multiplied = torch.stack((swapped[..., 0] ^ key[0], swapped[..., 1] ^ key[1]), dim=-1)
            others = low.flip(-1)
        return torch.stack((multiplied[..., 0], others[..., 0], multiplied[..., 1], others[..., 1]), dim=-1)

    def _product(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """Upper and lower 64 bits of the products with the multipliers, from 32-bit products."""
        low, high = words & LOW, _upper(words)
        middle = high * self._low + _upper(low * self._low)
        other = low * self._high + (middle & LOW)
        return high * self._high + _upper(middle) + _upper(other), words * self._multipliers


def _upper(words: Tensor) -> Tensor:
    # an int64 is shifted with its sign
    return (words >> 32) & LOW


def _signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word


def normals(words: Tensor) -> Tensor:
    """Standard normals, float32 of the shape of `words`; `words` are int32 with every bit random.

    The lowest bit is the sign. The other 31 choose one of 2**31 equal parts of (0, 1/2), whose middle is a
    probability p. The inverse at p is a parabola in each of 64 parts of every power of two, within 5e-7 of
    the exact value.
    """
    flat = words.flatten()
    # The odd number 2**33 p, rounded to float32: its exponent and mantissa give the part and the place in it.
    bits = ((flat.to(torch.int64) & 0xFFFFFFFF) | 1).to(torch.float32).view(torch.int32)
    part = (bits >> WITHIN) - EXPONENT_OF_ONE
    place = (bits & ((1 << WITHIN) - 1)).to(torch.float32) * 2.0**-WITHIN
    start, slope, bend = (table.index_select(0, part) for table in _tables(words.device))
    value = bend.mul_(place).add_(slope).mul_(place).add_(start)
    return value.view(torch.int32).bitwise_xor_(flat << 31).view(torch.float32).view(words.shape)


@cache
def _tables(device: torch.device) -> tuple[Tensor, ...]:
    """Coefficients of the parabola through both ends and the middle of each part, float32 [33 * 64] each."""
    octaves = 2.0 ** torch.arange(-33, 0, dtype=torch.float64)[:, None, None]
    within = torch.arange(1 << PARTS)[:, None] + torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    probability = octaves * (1 + within * 2.0**-PARTS)  # [33, parts, 3]
    left, middle, right = torch.special.ndtri(probability.clamp(max=0.5)).flatten(0, 1).unbind(1)
    coefficients = (left, 4 * middle - 3 * left - right, 2 * (left + right) - 4 * middle)
    return tuple(values.to(device, torch.float32) for values in coefficients)
