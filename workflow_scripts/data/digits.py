"""scikit-learn's handwritten digits: 1,797 real scans of 8x8 pixels that come with the package, no download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.source_files import describe_file
from workflow_scripts.data.dataset import Dataset, Split
from workflow_scripts.data.splitting import stratified_split


def load(settings_data: Mapping[str, Any]) -> Dataset:
    """All 1,797 digits, `num_test` of them (stratified by `split_seed`) for testing, the others shuffled for training.

    Grey levels 0..16 become u8 by round(v * 255 / 16). ConfigError when `num_test` leaves a class without images.
    """
    import sklearn.datasets

    loaded = sklearn.datasets.load_digits()
    images = np.round(loaded.images * 255.0 / 16.0).astype(np.uint8)[..., None]
    labels = loaded.target.astype(np.int64)
    train, test = stratified_split(labels, settings_data["num_test"], settings_data["split_seed"])
    return Dataset(
        train=Split(images[train], labels[train]),
        test=Split(images[test], labels[test]),
        classes=tuple(str(name) for name in loaded.target_names),
        origin="scikit-learn load_digits (UCI Optical Recognition of Handwritten Digits, test part, E. Alpaydin 1998)",
        licence="CC BY 4.0 (UCI Machine Learning Repository)",
        preparation="grey levels 0..16 scaled to 0..255; test images split off by seed",
        sources=(describe_file(Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"),),
    )
