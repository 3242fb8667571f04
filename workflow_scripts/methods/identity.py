"""What a restoration must beat: doing nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class Identity:
    """Presents the `condition` of each test image as it is; nothing is trained or drawn."""

    SAMPLERS = ("direct",)
    TRAINED = False
    asks = ("condition",)

    def __init__(self, settings: Mapping[str, Any]):
        pass

    def present(self, data: Mapping[str, np.ndarray]) -> np.ndarray:
        return data["condition"]
