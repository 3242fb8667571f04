from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import ndtri

from tests.recorded_graphs import record_on_a_cpu
from workflow_scripts.core.capture import WARM_UP
from workflow_scripts.core.randomness import stream
from workflow_scripts.sampling.noise import DeviceNoise, SampleNoise

SHAPE = (2, 3, 5)


def draws(seed: int, indices: range, num_steps: int) -> np.ndarray:
    """x_T and the step noises, [1 + num_steps, B, C, H, W]."""
    noise = SampleNoise(seed, indices, SHAPE)
    return np.stack([noise.x_T.numpy(), *(noise.step(k).numpy().copy() for k in range(num_steps))])


def test_each_sample_reads_its_own_stream_in_order() -> None:
    """Words of numpy's generator, the lower half of each first; arrays start with a new block."""
    drawn = draws(1077, range(5, 8), 3)
    assert drawn.dtype == np.float32
    for position, index in enumerate(range(5, 8)):
        generator = stream(1077, "sample", index).bit_generator
        for step in range(4):
            words = generator.random_raw(16)  # 30 numbers are 15 words, in blocks of four
            halves = np.stack((words & 0xFFFFFFFF, words >> 32), axis=1).reshape(-1)[:30].astype(np.float64)
            expected = np.where(halves % 2, -1, 1) * ndtri((halves + (halves % 2 == 0)) / 2.0**33)
            np.testing.assert_allclose(drawn[step, position].reshape(-1), expected, atol=6e-7, rtol=0)


@pytest.mark.parametrize("shape", [SHAPE, (3, 32, 32), (1, 3, 3)])
def test_what_a_device_draws_are_the_same_bytes(shape, monkeypatch) -> None:
    """A device's way to draw, here on the CPU, recorded and replayed, over batches of one size."""
    graphs = record_on_a_cpu(monkeypatch)
    on_device = DeviceNoise(9, 3, shape, torch.device("cpu"))
    for batch in (range(3), range(40, 43), range(3)):
        noise = SampleNoise(9, batch, shape)
        assert on_device.start(batch).x_T.numpy().tobytes() == noise.x_T.numpy().tobytes()
        for k in range(4):
            assert on_device.step(k).numpy().tobytes() == noise.step(k).numpy().tobytes()
    assert graphs.recordings == 1 and graphs.replays == 15 - WARM_UP


def test_x_T_depends_on_seed_and_sample_but_not_on_the_number_of_steps() -> None:
    np.testing.assert_array_equal(draws(1, range(4), 2)[0], draws(1, range(4), 9)[0])
    drawn = draws(1, range(4), 2)
    assert len(np.unique(drawn)) == drawn.size  # no number comes twice, over samples and steps
    assert not np.isin(drawn, draws(2, range(4), 2)).any()


def test_x_T_outlives_the_steps_and_steps_out_of_order_are_refused() -> None:
    on_device = DeviceNoise(3, 2, SHAPE, torch.device("cpu")).start(range(2))
    for noise in (SampleNoise(3, range(2), SHAPE), on_device):
        before = noise.x_T.clone()
        noise.step(0)
        assert torch.equal(noise.x_T, before)
        with pytest.raises(ValueError, match="step 1 comes next, not 0"):
            noise.step(0)
