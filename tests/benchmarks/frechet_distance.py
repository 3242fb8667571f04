"""The Fréchet distance of Gaussians in 2048 dimensions: ours, torch-fidelity's and pytorch-fid's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from own_process import OwnProcess
from pytorch_fid.fid_score import calculate_frechet_distance
from side_by_side import Comparison
from torch_fidelity.metric_fid import fid_statistics_to_metric

from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.statistics import GaussianStatistics

DIMENSIONS, VECTORS = 2048, 10_000


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Statistics of 10,000 vectors each, with a spectrum that falls as that of features does."""
    first, second = statistics_of(0), statistics_of(1)

    def torch_fidelity() -> float:
        sides = ({"mu": side.mu, "sigma": side.sigma} for side in (first, second))
        return fid_statistics_to_metric(*sides, False)["frechet_inception_distance"]

    def pytorch_fid() -> float:
        return calculate_frechet_distance(first.mu, first.sigma, second.mu, second.sigma)

    with OwnProcess(torch.get_num_threads(), made_distance) as ours:
        for peer, theirs, bar in (
            ("torch-fidelity", torch_fidelity, 3.0),
            ("pytorch-fid", pytorch_fid, 12.0),
        ):
            yield Comparison(
                what=f"Fréchet distance, {DIMENSIONS} dimensions",
                peer=peer,
                ours=ours,
                theirs=theirs,
                work=1,
                unit="s",
                check=lambda theirs=theirs: abs(ours() / theirs() - 1),
                tolerance=1e-8,
                equality="relative difference of the two distances",
                bar=bar,
            )


def made_distance() -> Callable[[], float]:
    first, second = statistics_of(0), statistics_of(1)
    return lambda: frechet_distance(first, second)


def statistics_of(seed: int) -> GaussianStatistics:
    """Mean and covariance of vectors with standard deviations from 1 to 0.01, rotated at random."""
    random = np.random.default_rng(seed)
    mixed = np.linalg.qr(random.standard_normal((DIMENSIONS, DIMENSIONS)))[0]
    scaled = np.geomspace(1, 0.01, DIMENSIONS)[:, None] * mixed
    vectors = random.standard_normal((VECTORS, DIMENSIONS)) @ scaled + 0.05 * random.standard_normal(
        DIMENSIONS
    )
    return GaussianStatistics(vectors.mean(axis=0), np.cov(vectors, rowvar=False), VECTORS)
