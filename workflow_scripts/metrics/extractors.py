"""Feature extractors by kind: a function from images to features, from settings and a weights file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workflow_scripts.core.chunks import Arrays
from workflow_scripts.core.errors import ConfigError, PipelineError
from workflow_scripts.core.files import sha256_file
from workflow_scripts.data.images import to_float
from workflow_scripts.metrics.classifier import load_classifier

# Convolutions may round differently for another batch size.
BATCH_SIZE = 100
# How many 299 x 299 images a CPU computes at once; a fifth faster than 50, since they fit in its cache.
CPU_BATCH = 10


@dataclass(frozen=True)
class Extractor:
    """Maps images u8 [N, H, W, C] to their features f32 [N, feature_dim].

    `features_and_logits` also returns Inception's logits f32 [N, 1008]. For a classifier they are None, since
    an Inception Score on the study's own classes would compare with nothing outside the study. `classes` maps
    a classifier's features to its answers, i64 [N].
    """

    feature_dim: int
    features_and_logits: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
    classes: Callable[[np.ndarray], np.ndarray] | None = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.features_and_logits(images)[0]

    def in_batches(self, images: np.ndarray, on_images: Callable[[int], None] | None = None) -> Arrays:
        """`features`, and from Inception `logits`, of whole batches; `on_images` gets the number done."""
        found = []
        for start in range(0, len(images), BATCH_SIZE):
            batch = images[start : start + BATCH_SIZE]
            found.append(self.features_and_logits(batch))
            if on_images is not None:
                on_images(start + len(batch))
        features, logits = zip(*found)
        arrays = {"features": np.concatenate(features)}
        return arrays if logits[0] is None else arrays | {"logits": np.concatenate(logits)}


def load_extractor(
    settings_extractor: Mapping[str, Any],
    path: str | Path,
    expected_sha256: str | None = None,
    choose_device: Callable[[], torch.device] = lambda: torch.device("cpu"),
) -> Extractor:
    """Load the extractor of the settings' kind, a classifier or `inception`, with the weights at `path`.

    `choose_device` is called for Inception; the small classifier stays on the CPU. ConfigError for a
    `feature_dim` that the weights do not have; PipelineError for weights that cannot be read or have another
    hash and, when the extractor is called, for images that do not fit.
    """
    if expected_sha256 is not None and sha256_file(path) != expected_sha256:
        raise PipelineError(f"{path} is not the file of its extractor.json; delete both and run again")
    is_inception = settings_extractor["kind"] == "inception"
    extractor = _inception(path, choose_device()) if is_inception else _classifier(path, settings_extractor)
    if settings_extractor["feature_dim"] != extractor.feature_dim:
        raise ConfigError(
            f"extractor.feature_dim is {settings_extractor['feature_dim']}, "
            f"the weights at {path} give {extractor.feature_dim}"
        )
    return extractor


def _classifier(path: str | Path, settings_extractor: Mapping[str, Any]) -> Extractor:
    """A classifier of whole images or, of kind `channels`, of each channel by itself."""
    classifier = load_classifier(path)
    side, channels, dim, base = (
        classifier.architecture[key] for key in ("image_size", "channels", "feature_dim", "num_classes")
    )
    parts = settings_extractor["feature_dim"] // dim if settings_extractor["kind"] == "channels" else 1
    shape = (side, side, channels * parts)

    @torch.no_grad()
    def extract(images: np.ndarray) -> tuple[np.ndarray, None]:
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            raise PipelineError(
                f"the extractor takes uint8 images of shape {list(shape)}, got {images.dtype} "
                f"{list(images.shape[1:])}; take images of the dataset the extractor was trained on"
            )
        x = to_float(images)
        if parts > 1:  # else left in its memory order, on which the last bits of a convolution depend
            x = x.reshape(-1, channels, side, side)
        return classifier.features(x).reshape(len(images), -1).numpy(), None

    @torch.no_grad()
    def classes(features: np.ndarray) -> np.ndarray:
        answers = classifier.head(torch.from_numpy(features).reshape(-1, dim)).argmax(dim=1)
        return answers.reshape(-1, parts).numpy() @ base ** np.arange(parts)[::-1]

    return Extractor(dim * parts, extract, classes)


def _inception(path: str | Path, device: torch.device) -> Extractor:
    # Imported here because torch-fidelity takes as long to import as torch.
    from workflow_scripts.metrics.inception import FEATURE_DIM, load_inception

    network = load_inception(path, device)

    @torch.no_grad()
    def extract(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
            raise PipelineError(f"Inception takes uint8 [N, H, W, 1 or 3], got {images.dtype} {images.shape}")
        x = torch.from_numpy(images).permute(0, 3, 1, 2).expand(-1, 3, -1, -1).to(device)
        pieces = x.split(CPU_BATCH) if device.type == "cpu" else (x,)
        made = zip(*map(network, pieces), strict=True)
        features, logits = (torch.cat(parts).cpu().numpy() for parts in made)
        return features, logits

    return Extractor(FEATURE_DIM, extract)
