"""The Inception Score: sharp class predictions for single images, many classes over all of them."""

from __future__ import annotations

import numpy as np

from workflow_scripts.core.errors import PipelineError

# torch-fidelity's protocol, so that both give one number for the same images.
NUM_SPLITS = 10
SHUFFLE_SEED = 2020


def inception_score(logits: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation over 10 splits, 1 to the number of classes, from Inception's logits [N, C].

    Salimans et al. 2016, "Improved techniques for training GANs", section 4: exp of the mean KL(p(y|x) || p(y)). The
    logits are those without the last layer's bias, as the paper's code has them. PipelineError below ten images.
    """
    if len(logits) < NUM_SPLITS:
        raise PipelineError(
            f"the Inception Score needs at least {NUM_SPLITS} images, got {len(logits)}; use more samples"
        )
    order = np.random.RandomState(SHUFFLE_SEED).permutation(len(logits))
    logits = logits[order].astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    bounds = [number * len(logits) // NUM_SPLITS for number in range(NUM_SPLITS + 1)]
    scores = [_score(log_p[start:end]) for start, end in zip(bounds, bounds[1:])]
    return float(np.mean(scores)), float(np.std(scores))


def _score(log_p: np.ndarray) -> float:
    p = np.exp(log_p)
    divergences = (p * (log_p - np.log(p.mean(axis=0)))).sum(axis=1)
    return float(np.exp(divergences.mean()))
