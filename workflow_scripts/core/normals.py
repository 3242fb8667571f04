"""Standard normals from random words, by the inverse of the normal distribution function, as the same bytes on every device.

A word's lowest bit is the sign; the others are a probability p in (0, 1/2), the middle of one of 2**31 equal parts. The
inverse at p is interpolated by a parabola in each of 64 parts of every power of two, which is within 5e-7 of it and its float32
neighbours. Conversions, sums and products alone are used, which every device rounds alike; a logarithm or a cosine it would not.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

# Parts of a power of two, as bits of the mantissa that say which one, and bits that are left to say where in it.
PARTS = 6
WITHIN = 23 - PARTS
EXPONENT_OF_ONE = 127 << PARTS


def normals(words: Tensor) -> Tensor:
    """float32 of the shape of `words`, int32 of which every bit is random."""
    flat = words.flatten()
    # The odd number 2**33 p, rounded to float32, whose exponent and mantissa say where it lies.
    bits = ((flat.to(torch.int64) & 0xFFFFFFFF) | 1).to(torch.float32).view(torch.int32)
    part = (bits >> WITHIN) - EXPONENT_OF_ONE
    place = (bits & ((1 << WITHIN) - 1)).to(torch.float32) * 2.0**-WITHIN
    start, slope, bend = (table.index_select(0, part) for table in _tables(words.device))
    value = bend.mul_(place).add_(slope).mul_(place).add_(start)
    return value.view(torch.int32).bitwise_xor_(flat << 31).view(torch.float32).view(words.shape)


@cache
def _tables(device: torch.device) -> tuple[Tensor, ...]:
    """Coefficients of the parabolas through the inverse at both ends and in the middle of each part, float32 [33 * 64]."""
    octaves = 2.0 ** torch.arange(-33, 0, dtype=torch.float64)[:, None, None]
    within = torch.arange(1 << PARTS)[:, None] + torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    probability = octaves * (1 + within * 2.0**-PARTS)  # [33, parts, 3]
    left, middle, right = torch.special.ndtri(probability.clamp(max=0.5)).flatten(0, 1).unbind(1)
    coefficients = (left, 4 * middle - 3 * left - right, 2 * (left + right) - 4 * middle)
    return tuple(values.to(device, torch.float32) for values in coefficients)
