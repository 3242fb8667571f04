"""The kernel distance between two sets of features: KID when they are Inception's, KD with any other."""

from __future__ import annotations

import numpy as np

from workflow_scripts.common.errors import PipelineError

# torch-fidelity's protocol, subsets included, so that both give one number for the same images.
NUM_SUBSETS = 100
MAX_SUBSET_SIZE = 1000
SUBSET_SEED = 2020
ROWS_AT_ONCE = 1000


def kernel_distance_name(frechet_name: str) -> str:
    """`kid` beside `fid`; `kd_digits` beside `fd_digits`."""
    return "kid" if frechet_name == "fid" else "kd_" + frechet_name.removeprefix("fd_")


def kernel_distance(generated: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the squared MMD over 100 random pairs of subsets, for features [N, D] and [M, D].

    Binkowski et al. 2018, "Demystifying MMD GANs", section 4: kernel (x.y / D + 1)^3, unbiased in the number of images,
    so it may fall slightly below 0. Subsets have min(1000, N, M) vectors. The deviation is the spread between subsets,
    not an interval: subsets overlap. PipelineError below two vectors on a side or on different D.
    """
    if generated.shape[1] != reference.shape[1]:
        raise PipelineError(
            f"cannot compare features of {generated.shape[1]} and {reference.shape[1]} dimensions; "
            "both sides must come from the same extractor"
        )
    size = min(MAX_SUBSET_SIZE, len(generated), len(reference))
    if size < 2:
        raise PipelineError(f"a kernel distance needs 2 feature vectors on each side, got {size}; use more images")
    chosen, chosen_reference = _subsets(len(generated), len(reference), size)
    within = _sums(generated, generated, chosen, chosen) - chosen @ _kernel_diagonal(generated)
    within += _sums(reference, reference, chosen_reference, chosen_reference) - chosen_reference @ _kernel_diagonal(reference)
    between = _sums(generated, reference, chosen, chosen_reference)
    distances = within / (size * (size - 1)) - 2 * between / size**2
    return float(distances.mean()), float(distances.std())


def _subsets(num_first: int, num_second: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which vectors each pair of subsets holds, as 0 and 1: [NUM_SUBSETS, num_first] and [NUM_SUBSETS, num_second]."""
    random = np.random.RandomState(SUBSET_SEED)
    first, second = np.zeros((NUM_SUBSETS, num_first)), np.zeros((NUM_SUBSETS, num_second))
    for row_of_first, row_of_second in zip(first, second):
        row_of_first[random.choice(num_first, size, replace=False)] = 1
        row_of_second[random.choice(num_second, size, replace=False)] = 1
    return first, second


def _sums(first: np.ndarray, second: np.ndarray, chosen_first: np.ndarray, chosen_second: np.ndarray) -> np.ndarray:
    """The sum of the kernel over each pair of subsets [NUM_SUBSETS]; subsets overlap, so each entry is computed once."""
    second = second.astype(np.float64)
    sums = np.zeros(len(chosen_first))
    for start in range(0, len(first), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        kernel = first[rows].astype(np.float64) @ second.T
        kernel /= first.shape[1]
        kernel += 1
        kernel *= kernel * kernel
        sums += np.einsum("sn,sn->s", chosen_first[:, rows], chosen_second @ kernel.T)
    return sums


def _kernel_diagonal(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float64)
    return (np.einsum("nd,nd->n", features, features) / features.shape[1] + 1) ** 3
