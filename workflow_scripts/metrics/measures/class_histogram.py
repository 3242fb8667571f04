"""Whether samples show all classes as often as the training images do."""

from __future__ import annotations

import numpy as np

ROWS = {
    "class_kl": {"better": "lower", "unit": "nats"},
    "smallest_class_share": {"better": 1, "unit": "ratio to real"},
    "lost_classes": {"better": "lower", "unit": "classes"},
}
LOST_BELOW = 0.1


def class_histogram(predicted: np.ndarray, real_labels: np.ndarray, num_classes: int) -> dict[str, float]:
    """Compare the shares of the classes that the in-domain classifier sees with those of the training images.

    `class_kl`: KL(samples || real), without end if the samples show a class that no real image has;
    `smallest_class_share`: the least of (share among samples / real share); `lost_classes`: of how many
    classes that is below a tenth, a sign of collapse. Samples of classes asked for in equal numbers show what
    of that arrived. N perfect samples of K classes have a KL of about (K - 1) / 2N.
    """
    shares, real = (np.bincount(seen, minlength=num_classes) / len(seen) for seen in (predicted, real_labels))
    ratios = shares[real > 0] / real[real > 0]
    return {
        "class_kl": kl(shares, real),
        "smallest_class_share": float(ratios.min()),
        "lost_classes": float((ratios < LOST_BELOW).sum()),
    }


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p || q) of two distributions [K] in nats; infinite where q is 0 and p is not."""
    seen = p > 0
    with np.errstate(divide="ignore"):
        return float((p[seen] * np.log(p[seen] / q[seen])).sum())
