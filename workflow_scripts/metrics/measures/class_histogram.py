"""Whether samples show all classes as often as the training images do."""

from __future__ import annotations

import numpy as np

ROWS = {
    "class_kl": {"better": "lower", "unit": "nats"},
    "smallest_class_share": {"better": 1, "unit": "ratio to real"},
    "lost_classes": {"better": "lower", "unit": "classes"},
    "absent_class_share": {"better": "lower"},
}
LOST_BELOW = 0.1


def class_histogram(predicted: np.ndarray, real_labels: np.ndarray, num_classes: int) -> dict[str, float]:
    """Compare the shares of the classes that the in-domain classifier sees with those of the training images.

    `class_kl`: KL(samples || real); `smallest_class_share`: the least of (share among samples / real share);
    `lost_classes`: of how many classes that is below a tenth, a sign of collapse. Samples of classes asked
    for in equal numbers show what of that arrived. N perfect samples of K classes have a KL of about
    (K - 1) / 2N. A class without training images has no share to compare with, so samples seen as one do not
    enter the KL; their share is `absent_class_share`, a row only where there is such a class.
    """
    counts, real = (np.bincount(seen, minlength=num_classes) for seen in (predicted, real_labels))
    has = real > 0
    known, shares = counts[has], real[has] / len(real_labels)
    ratios = known / len(predicted) / shares
    return {
        **({"class_kl": kl(known / known.sum(), shares)} if known.any() else {}),
        "smallest_class_share": float(ratios.min()),
        "lost_classes": float((ratios < LOST_BELOW).sum()),
        **({} if has.all() else {"absent_class_share": float(counts[~has].sum() / len(predicted))}),
    }


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p || q) of two distributions [K] in nats; q is positive."""
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / q[seen])).sum())
