from __future__ import annotations

import numpy as np
import pytest
import torch

from workflow_scripts.core.randomness import stream
from workflow_scripts.training.batches import Batches

SHAPE = (10, 4, 4, 1)


@pytest.mark.parametrize(("batch_size", "num_steps"), [(4, 15), (25, 2)])
def test_every_epoch_holds_every_image_once_whatever_the_batch_size(batch_size, num_steps):
    batches = Batches(SHAPE, 3, batch_size, 100)
    indices = np.concatenate([batches.indices(step) for step in range(num_steps)])
    # 4 does not divide 10: batches reach over the end of an epoch; 25 spans several epochs
    expected = np.concatenate([stream(3, "order", epoch).permutation(10) for epoch in range(6)])
    assert np.array_equal(indices, expected[: len(indices)])


def test_a_batch_is_a_function_of_seed_and_step_alone():
    one, other = Batches(SHAPE, 3, 4, 100), Batches(SHAPE, 3, 4, 100)
    forward = [one.draw(step) for step in range(8)]
    backward = [other.draw(step) for step in reversed(range(8))][::-1]
    for left, right in zip(forward, backward):
        assert left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
    different = Batches(SHAPE, 4, 4, 100).draw(0)
    noises = [batch["noise"] for batch in (different, forward[0], forward[1])]
    assert not torch.equal(noises[0], noises[1]) and not torch.equal(noises[1], noises[2])


def test_draws_follow_the_documented_streams():
    batch = Batches(SHAPE, 3, 4, 100).draw(5)
    indices, t, noise = (batch[name] for name in ("indices", "t", "noise"))
    assert indices.dtype == t.dtype == torch.int64 and noise.dtype == torch.float32
    assert t.tolist() == stream(3, "timesteps", 5).integers(0, 100, size=4).tolist()
    assert np.array_equal(
        noise.numpy(), stream(3, "noise", 5).standard_normal((4, 1, 4, 4), dtype=np.float32)
    )
    assert indices.tolist() == stream(3, "order", 2).permutation(10)[:4].tolist()
