"""Feature extractors by kind: `settings["extractor"]` and a weights file in, a function from images to features out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workflow_scripts.common.errors import ConfigError, PipelineError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.data.images import to_float
from workflow_scripts.metrics.classifier import load_classifier

Extractor = Callable[[np.ndarray], np.ndarray]


def metric_name(settings_extractor: Mapping[str, Any]) -> str:
    """What the Fréchet distance is called: `fid` with Inception's features, else the extractor's own name."""
    return "fid" if settings_extractor["kind"] == "inception" else settings_extractor["name"]


def load_extractor(
    settings_extractor: Mapping[str, Any], path: str | Path, expected_sha256: str | None = None
) -> Extractor:
    """The extractor of the kind in the settings (`classifier` or `inception`), with the weights at `path`.

    It maps u8 [N, H, W, C] to f32 [N, feature_dim]. ConfigError for an unknown kind or a `feature_dim` that the weights
    do not have; PipelineError for weights that cannot be read or have another hash, and for images that do not fit.
    """
    kind = settings_extractor["kind"]
    if kind not in LOADERS:
        raise ConfigError(f"extractor.kind: unknown kind {kind!r}; known are {', '.join(sorted(LOADERS))}")
    if expected_sha256 is not None and sha256_file(path) != expected_sha256:
        raise PipelineError(f"{path} is not the file its extractor.json describes; delete both and run again")
    extract, feature_dim = LOADERS[kind](path)
    if settings_extractor["feature_dim"] != feature_dim:
        raise ConfigError(
            f"extractor.feature_dim is {settings_extractor['feature_dim']}, the weights at {path} give {feature_dim}"
        )
    return extract


def iterate_features(extract: Extractor, images: np.ndarray, batch_size: int = 100) -> Iterator[np.ndarray]:
    """Features of u8 [N, H, W, C] in order, `batch_size` images at a time."""
    for start in range(0, len(images), batch_size):
        yield extract(images[start : start + batch_size])


def _classifier(path: str | Path) -> tuple[Extractor, int]:
    classifier = load_classifier(path)
    side, channels = classifier.architecture["image_size"], classifier.architecture["channels"]

    @torch.no_grad()
    def extract(images: np.ndarray) -> np.ndarray:
        if images.dtype != np.uint8 or images.shape[1:] != (side, side, channels):
            raise PipelineError(
                f"the extractor takes uint8 images of shape {[side, side, channels]}, got {images.dtype} "
                f"{list(images.shape[1:])}; take images of the dataset the extractor was trained on"
            )
        return classifier.features(to_float(images)).numpy()

    return extract, classifier.architecture["feature_dim"]


def _inception(path: str | Path) -> tuple[Extractor, int]:
    # Imported here because torch-fidelity takes as long to import as torch, and most steps never need it.
    from workflow_scripts.metrics.inception import FEATURE_DIM, load_inception

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load_inception(path).to(device)

    @torch.no_grad()
    def extract(images: np.ndarray) -> np.ndarray:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
            raise PipelineError(f"Inception takes uint8 [N, H, W, 1 or 3], got {images.dtype} {list(images.shape)}")
        if images.shape[3] == 1:  # grey is three equal colours
            images = images.repeat(3, axis=3)
        x = torch.from_numpy(images).permute(0, 3, 1, 2).to(device)
        return network(x)[0].cpu().numpy()

    return extract, FEATURE_DIM


LOADERS: dict[str, Callable[[str | Path], tuple[Extractor, int]]] = {"classifier": _classifier, "inception": _inception}
