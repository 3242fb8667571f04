"""Precision and recall of generated images: how many look real, and how much of the real data is covered."""

from __future__ import annotations

import numpy as np

from workflow_scripts.core.errors import PipelineError

NUM_NEIGHBOURS = 3
ROWS_AT_ONCE = 1000


def neighbour_radii(features: np.ndarray) -> np.ndarray:
    """The squared distance of each vector of [N, D] to its third nearest other vector, f64 [N].

    PipelineError below four vectors.
    """
    if len(features) <= NUM_NEIGHBOURS:
        raise PipelineError(
            f"precision and recall need {NUM_NEIGHBOURS + 1} images on each side, got {len(features)}"
        )
    radii = np.empty(len(features))
    for start in range(0, len(features), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        # The smallest distance is that of a vector to itself.
        radii[rows] = np.partition(_squared_distances(features[rows], features), NUM_NEIGHBOURS, axis=1)[
            :, NUM_NEIGHBOURS
        ]
    return radii


def precision_and_recall(
    generated: np.ndarray, reference: np.ndarray, reference_radii: np.ndarray
) -> tuple[float, float]:
    """Both in [0, 1], for features [N, D] and [M, D] and `neighbour_radii(reference)` [M].

    Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models", eq. 1 to 3 with
    k = 3: precision is the share of generated vectors within the radius of some real one, recall the share of real
    ones within the radius of some generated one. Both depend on N and M; the paper takes them equal.
    """
    radii = neighbour_radii(generated)
    covered = np.zeros(len(reference), dtype=bool)
    precise = np.zeros(len(generated), dtype=bool)
    for start in range(0, len(generated), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        distances = _squared_distances(generated[rows], reference)
        precise[rows] = (distances <= reference_radii).any(axis=1)
        covered |= (distances <= radii[rows, None]).any(axis=0)
    return float(precise.mean()), float(covered.mean())


def _squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    first, second = first.astype(np.float64), second.astype(np.float64)
    lengths = [np.einsum("nd,nd->n", side, side) for side in (first, second)]
    return lengths[0][:, None] + lengths[1] - 2 * (first @ second.T)
