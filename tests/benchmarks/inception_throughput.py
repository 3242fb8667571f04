"""Images per second of our Inception features against torch-fidelity's own, in pairs and in turn; no test.

    python tests/benchmarks/inception_throughput.py [--threads 2] [--batch 50] [--pairs 7]

Weights are random: they change neither the work nor its order. Each pair times both on the same images, the first one
in turn, so that what else the machine does falls on both alike; the median of the pairs' ratios is what counts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

# `tests` may be another package's name where this one is not installed, so its modules are found by their folder.
sys.path[:0] = [str(Path(__file__).parents[level]) for level in (1, 2)]

from random_inception import write_random_inception  # noqa: E402

from workflow_scripts.metrics.extractors import load_extractor  # noqa: E402


def seconds(extract: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> tuple[float, np.ndarray]:
    """How long it took, and the features."""
    start = time.perf_counter()
    features = extract(images)
    return time.perf_counter() - start, features


def main() -> None:
    """Print both rates, the ratio of each pair and their median, and how far the features are apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = np.random.default_rng(0).integers(0, 256, (arguments.batch, 32, 32, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        write_random_inception(path)
        ours = load_extractor({"kind": "inception", "feature_dim": 2048}, path)
        layers = ["2048", "logits_unbiased"]
        network = FeatureExtractorInceptionV3("inception-v3-compat", layers, feature_extractor_weights_path=str(path))

    @torch.no_grad()
    def theirs(batch: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous())[0].numpy()

    expected = theirs(images)
    apart = np.abs(ours(images) - expected).max() / np.abs(expected).max()
    times = []
    for number in range(arguments.pairs):
        order = (ours, theirs) if number % 2 else (theirs, ours)
        taken = {extract: seconds(extract, images)[0] for extract in order}
        times.append((taken[ours], taken[theirs]))
    ratios = sorted(their_s / our_s for our_s, their_s in times)
    rates = [arguments.batch / statistics.median(column) for column in zip(*times)]
    print(f"{arguments.threads} threads, batches of {arguments.batch}, {arguments.pairs} pairs")
    print(f"ours {rates[0]:.1f} images/s, torch-fidelity's {rates[1]:.1f} images/s")
    print(f"ratio: median {statistics.median(ratios):.2f}, from {ratios[0]:.2f} to {ratios[-1]:.2f}")
    print(f"features: at most {apart:.1e} of the largest apart")


if __name__ == "__main__":
    main()
