"""Pairs to restore: scikit-learn's digits and blurred copies of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def blurred(root: Path, num_test: int, radius: int = 1) -> dict[str, dict[str, np.ndarray]]:
    """The last `num_test` are for testing; `condition` is the mean over 2 `radius` + 1 pixels each way."""
    import sklearn.datasets

    loaded = sklearn.datasets.load_digits()
    images, side = np.round(loaded.images * 255 / 16), loaded.images.shape[1]
    padded = np.pad(images, ((0, 0), (radius, radius), (radius, radius)), mode="edge")
    shifts = range(2 * radius + 1)
    shifted = [padded[:, y : y + side, x : x + side] for y in shifts for x in shifts]
    arrays = {
        "images": images.astype(np.uint8)[..., None],
        "labels": loaded.target.astype(np.int64),
        "condition": np.round(np.mean(shifted, axis=0)).astype(np.uint8)[..., None],
    }
    parts = {"train": slice(None, -num_test), "test": slice(-num_test, None)}
    return {part: {name: array[chosen] for name, array in arrays.items()} for part, chosen in parts.items()}
