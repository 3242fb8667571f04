"""The form in which every source returns its images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
