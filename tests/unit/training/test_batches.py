from __future__ import annotations

import numpy as np
import pytest

from workflow_scripts.core.randomness import stream
from workflow_scripts.training.batches import Order


@pytest.mark.parametrize(("batch_size", "num_steps"), [(4, 15), (25, 2)])
def test_every_epoch_holds_every_image_once_whatever_the_batch_size(batch_size, num_steps):
    order = Order(10, 3, batch_size)
    indices = np.concatenate([order.indices(step) for step in range(num_steps)])
    # 4 does not divide 10: batches reach over the end of an epoch; 25 spans several epochs
    expected = np.concatenate([stream(3, "order", epoch).permutation(10) for epoch in range(6)])
    assert indices.dtype == np.int64 and np.array_equal(indices, expected[: len(indices)])
    assert np.array_equal(Order(10, 3, batch_size).indices(1), indices[batch_size : 2 * batch_size])
