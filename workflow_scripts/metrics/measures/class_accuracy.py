"""Whether samples show the classes that they were asked to show."""

from __future__ import annotations

import numpy as np

from workflow_scripts.metrics.measures import Measured

ROWS = {
    "class_accuracy": {"better": "higher"},
    "class_accuracy_of_real": {"better": "higher"},
    "class_accuracy_ratio": {"better": "higher", "unit": "ratio to real"},
}


def class_accuracy(predicted: np.ndarray, labels: np.ndarray, judge_accuracy: float) -> dict[str, Measured]:
    """The share of samples that the in-domain classifier takes for the class asked for, 0 to 1.

    Beside it the classifier's own share on real test images, and the ratio of the two, which may exceed 1: a
    generator that draws typical images only is easier to judge than real ones. Standard errors are binomial,
    for other samples of the same generator.
    """
    share = float((predicted == labels).mean())
    error = (share * (1 - share) / len(labels)) ** 0.5
    return {
        "class_accuracy": Measured(share, error),
        "class_accuracy_of_real": Measured(judge_accuracy),
        "class_accuracy_ratio": Measured(share / judge_accuracy, error / judge_accuracy),
    }
