"""What every source returns, and how a test part is split off where there is no official one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.core.randomness import stream
from workflow_scripts.core.source_files import SourceFile


@dataclass(frozen=True)
class Split:
    """Images u8 `[N, H, W, C]` and labels i64 `[N]`, each an index into the dataset's classes."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """The two parts of a dataset and where they come from; `test` is None if it is to be split off `train`.

    `preparation` says in a sentence what was done to the images, `sources` which files they were read from.
    """

    train: Split
    test: Split | None
    classes: tuple[str, ...]
    origin: str
    licence: str
    preparation: str
    sources: tuple[SourceFile, ...]


def stratified_split(
    labels: np.ndarray, num_test: int | None, split_seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw indices (train, test) in random order; every class has its share of the `num_test` test images.

    Shares are rounded by largest remainder, so that they add up. ConfigError when num_test is null or
    leaves a class without a training or test image.
    """
    if num_test is None:
        raise ConfigError("data.num_test: must be a number for a dataset without an official test part")
    classes, counts = np.unique(labels, return_counts=True)
    shares = num_test * counts / len(labels)
    quotas = np.floor(shares).astype(np.int64)
    quotas[np.argsort(quotas - shares, kind="stable")[: num_test - quotas.sum()]] += 1
    if (quotas < 1).any() or (quotas >= counts).any():
        raise ConfigError(
            f"data.num_test: with {num_test} of {len(labels)} images a class has none for training or testing"
        )
    order = stream(split_seed, "split").permutation(len(labels))
    in_test = np.zeros(len(labels), dtype=bool)
    for name, quota in zip(classes, quotas):
        in_test[order[labels[order] == name][:quota]] = True
    return order[~in_test[order]], order[in_test[order]]
