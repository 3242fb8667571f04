"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32x32 pixels, through torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.common.source_files import describe_file
from workflow_scripts.data.dataset import Dataset, Split


def load(settings_data: Mapping[str, Any], root: Path) -> Dataset:
    """The official split, in the official order, from `root`; downloaded there when `download` is true.

    torchvision checks the md5 sum of every file. An archive that is already in `root` is unpacked without a network.
    PipelineError, saying which file belongs where, when the data is neither there nor to be had.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    archive = root / CIFAR10.filename
    download = settings_data.get("download", False) or check_integrity(str(archive), CIFAR10.tgz_md5)
    try:
        train, test = (CIFAR10(str(root), train=part, download=download) for part in (True, False))
    # OSError: no network, or no place on the disk; RuntimeError: torchvision's word for a wrong or missing file
    except (OSError, RuntimeError, EOFError) as error:
        raise PipelineError(
            f"cannot get CIFAR-10 in {root}: {str(error).splitlines()[0] if str(error) else type(error).__name__}; "
            f"put {CIFAR10.url} (md5 {CIFAR10.tgz_md5}) at {archive}, or say where data lies: "
            "--config data_root=… (make: DATA=…)"
        ) from error
    folder = root / CIFAR10.base_folder
    files = [*CIFAR10.train_list, *CIFAR10.test_list]
    return Dataset(
        train=Split(train.data, np.array(train.targets, dtype=np.int64)),
        test=Split(test.data, np.array(test.targets, dtype=np.int64)),
        classes=tuple(train.classes),
        origin=CIFAR10.url,
        licence="no licence stated; cite Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
        preparation="pixels as they are",
        sources=tuple(describe_file(folder / name, f"{folder.name}/{name}") for name, _ in files),
    )
