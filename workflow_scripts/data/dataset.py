"""The form in which every source returns its images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workflow_scripts.core.source_files import SourceFile


@dataclass(frozen=True)
class Split:
    """Images u8 `[N, H, W, C]` and labels i64 `[N]`, each an index into the dataset's classes, or None."""

    images: np.ndarray
    labels: np.ndarray | None

    def arrays(self) -> dict[str, np.ndarray]:
        """What a file of this part holds, by name."""
        return {"images": self.images} | ({} if self.labels is None else {"labels": self.labels})

    def take(self, chosen: np.ndarray | slice) -> Split:
        """The part with only the chosen images, in that order."""
        return Split(**{"labels": None} | {name: array[chosen] for name, array in self.arrays().items()})


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
