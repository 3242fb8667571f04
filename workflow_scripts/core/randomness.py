"""Counted randomness: every draw is a pure function of (seed, purpose, counters).

No state is carried from one draw to the next, so results depend neither on the batch size nor on where a run
was resumed, and two arms with the same seed get the same numbers. The generator is Philox, which is
counter-based (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """The generator of (seed, purpose, counters); at most three counters, each in [0, 2**64)."""
    if len(counters) > 3:
        raise ValueError(f"at most three counters, got {counters}")
    key = np.array(philox_key(seed, purpose), dtype=np.uint64)
    # The lowest word counts the draws of one stream. Our counters are the words above it, so streams never
    # overlap.
    counter = np.array([0, *counters, *[0] * (3 - len(counters))], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def philox_key(seed: int, purpose: str) -> tuple[int, int]:
    """The key of the streams of (seed, purpose): two 64-bit words."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def torch_seed(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for code that only takes torch's global generator (initial weights, dropout)."""
    text = "/".join(str(part) for part in (seed, purpose, *counters))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
