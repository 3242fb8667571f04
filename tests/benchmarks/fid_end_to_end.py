"""FID from uint8 images to the number: ours against torch_fidelity.calculate_metrics.

50 images, so that seven pairs take minutes. The network's time grows with the images and the distance's does
not, so the ratio at 10,000 images lies between this one and that of the features alone. The reference's
features are computed by both sides, or kept by both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch_fidelity
from inception_features import BATCH
from random_inception import write_random_inception
from side_by_side import Comparison
from torch.utils.data import Dataset, Subset

from workflow_scripts.metrics.extractors import load_extractor
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.statistics import GaussianStatistics, statistics_of

IMAGES = 50


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """With both sets' features to compute, and with the reference's at hand."""
    random = np.random.default_rng(0)
    generated = random.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    reference = random.integers(0, 200, (IMAGES, 32, 32, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        weights = write_random_inception(Path(name) / "weights.pth")
        ours = OurFid(weights, device)
        kept = ours.statistics(reference)
        fidelity = TorchFidelity(weights, Path(name) / "cache", device, reference)
        ways = {
            "both sets new": (
                lambda: ours(generated, ours.statistics(reference)),
                lambda: fidelity(generated, keep=False),
            ),
            "reference kept": (lambda: ours(generated, kept), lambda: fidelity(generated, keep=True)),
        }
        for way, (our_call, their_call) in ways.items():
            yield Comparison(
                what=f"FID end to end, {IMAGES} uint8 images",
                peer=f"torch_fidelity.calculate_metrics, {way}",
                ours=our_call,
                theirs=their_call,
                work=1,
                unit="s",
                check=lambda ours=our_call, theirs=their_call: abs(ours() / theirs() - 1),
                # Fewer images than dimensions: torch-fidelity's root of a singular covariance errs by this
                # much.
                tolerance=1e-4,
                equality="relative difference of the two distances, from random weights",
                bar=1.6,
                warmups=0,
            )


class OurFid:
    """What extract_features and compute_metrics do: features batch by batch, their Gaussian, the distance."""

    def __init__(self, weights: Path, device: torch.device):
        settings = {"kind": "inception", "feature_dim": 2048}
        self.features = load_extractor(settings, weights, choose_device=lambda: device)

    def statistics(self, images: np.ndarray) -> GaussianStatistics:
        batches = (self.features(images[start : start + BATCH]) for start in range(0, len(images), BATCH))
        return statistics_of(np.concatenate(list(batches)))

    def __call__(self, generated: np.ndarray, reference: GaussianStatistics) -> float:
        return frechet_distance(self.statistics(generated), reference)


def tensors(images: np.ndarray) -> Dataset:
    """Images u8 [N, H, W, C] as torch-fidelity takes them, u8 [C, H, W] each."""
    return Subset(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), range(len(images)))


class TorchFidelity:
    """calculate_metrics as its users call it; the reference's statistics may lie in its cache."""

    def __init__(self, weights: Path, cache: Path, device: torch.device, reference: np.ndarray):
        self.options = {
            "fid": True,
            "cuda": device.type == "cuda",
            "batch_size": BATCH,
            "verbose": False,
            "save_cpu_ram": True,
            "feature_extractor_weights_path": str(weights),
            "cache_root": str(cache),
            "input2": tensors(reference),
        }
        self(reference, keep=True)

    def __call__(self, generated: np.ndarray, keep: bool) -> float:
        cache = {"input2_cache_name": "reference"} if keep else {"cache": False}
        found = torch_fidelity.calculate_metrics(input1=tensors(generated), **cache, **self.options)
        return found["frechet_inception_distance"]
