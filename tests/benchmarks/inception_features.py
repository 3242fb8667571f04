"""Inception features: ours (batch norms folded, channels last) against torch-fidelity's network.

Weights are random: they change neither the work nor its order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from random_inception import write_random_inception
from side_by_side import Comparison
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from workflow_scripts.metrics.extractors import load_extractor

BATCH = 50
LAYERS = ["2048", "logits_unbiased"]


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """One batch of 50 images of 32x32 pixels, which both resize to 299."""
    images = np.random.default_rng(0).integers(0, 256, (BATCH, 32, 32, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = write_random_inception(Path(folder) / "weights.pth")
        ours = load_extractor({"kind": "inception", "feature_dim": 2048}, path, choose_device=lambda: device)
        theirs = torch_fidelity_features(path, device)
    yield Comparison(
        what=f"Inception features, batches of {BATCH}",
        peer="torch-fidelity's extractor",
        ours=lambda: ours(images),
        theirs=lambda: theirs(images),
        work=BATCH,
        unit="images",
        check=lambda: relative_distance(ours(images), theirs(images)),
        tolerance=1e-5,
        equality="the largest difference of two features over the largest feature",
        bar=1.7 if device.type == "cpu" else None,
    )


def torch_fidelity_features(weights: Path, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    """What torch-fidelity computes from images u8 [N, H, W, C]: features f32 [N, 2048]."""
    network = FeatureExtractorInceptionV3(
        "inception-v3-compat", LAYERS, feature_extractor_weights_path=str(weights)
    ).to(device)

    @torch.no_grad()
    def features(images: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device))[0].cpu().numpy()

    return features


def relative_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())
