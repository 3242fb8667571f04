"""The form in which every source returns its images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.source_files import SourceFile


@dataclass(frozen=True)
class Split:
    """Images u8 `[N, H, W, C]`; or None: labels i64 `[N]`, each an index into the dataset's classes, and
    condition u8 `[N, H, W, C']`, an input that belongs to each image."""

    images: np.ndarray
    labels: np.ndarray | None = None
    condition: np.ndarray | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """What a file of this part holds, by name."""
        return {name: array for name, array in vars(self).items() if array is not None}

    def take(self, chosen: np.ndarray | slice) -> Split:
        """The part with only the chosen images, in that order."""
        return Split(**{name: array[chosen] for name, array in self.arrays().items()})


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


def require_arrays(data: Mapping[str, np.ndarray], where: object, hint: str) -> None:
    """Raise PipelineError, from `where` to `hint`, unless these are the arrays of a Split, N at least 1."""
    images = data.get("images", np.empty(0))
    shape = images.shape[:3] if images.ndim == 4 else (0,)
    fits = images.ndim == 4 and len(images) > 0
    wanted = {"images": (np.uint8, fits, "[N, H, W, C] with N at least 1")}
    if "labels" in data:
        wanted["labels"] = (np.int64, data["labels"].shape == shape[:1], f"[{shape[0]}]")
    if "condition" in data:
        fits = data["condition"].ndim == 4 and data["condition"].shape[:3] == shape
        wanted["condition"] = (np.uint8, fits, f"{[*shape, 'C']}")
    for name, (dtype, fits, expected) in wanted.items():
        found = data.get(name, images)
        if found.dtype != dtype or not fits:
            raise PipelineError(
                f"{where}: {name} are {found.dtype} {list(found.shape)}, "
                f"expected {np.dtype(dtype)} {expected}; {hint}"
            )


def asked(data: Mapping[str, np.ndarray], names: Collection[str], method: str) -> dict[str, np.ndarray]:
    """The arrays that a method asks for; PipelineError if the dataset has one not."""
    if missing := [name for name in names if name not in data]:
        raise PipelineError(f"method.name {method} asks for {missing[0]}, the dataset has {', '.join(data)}")
    return {name: data[name] for name in names}
