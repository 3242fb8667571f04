"""What every source hands over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """Images u8 `[N, H, W, C]` and labels i64 `[N]`, each an index into the dataset's classes."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """The two parts of a dataset, and what is known of it."""

    train: Split
    test: Split
    classes: tuple[str, ...]
    origin: str
    licence: str
