"""Normals against scipy's inverse of the normal distribution function, and Philox against numpy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import ndtri

from workflow_scripts.core.device_randomness import PARTS, Philox, normals


def _words(seed: int, count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.Philox(seed).random_raw(count // 2).view(np.int32))


def _expected(words: torch.Tensor) -> np.ndarray:
    unsigned = words.numpy().view(np.uint32).astype(np.float64)
    odd = unsigned + (unsigned % 2 == 0)
    return np.where(unsigned % 2 == 0, 1, -1) * ndtri(odd / 2.0**33)


def test_every_part_of_the_table_is_the_inverse_of_the_distribution_function():
    """Words that lie anywhere in each part: in the middle of the distribution and down to the rarest."""
    random = np.random.default_rng(0)
    octave, part = np.divmod(np.arange(32 << PARTS), 1 << PARTS)
    low = 2.0**octave * (1 + part / (1 << PARTS))
    numbers = (low + random.random((50, low.size)) * 2.0**octave / (1 << PARTS)).astype(np.uint64)
    words = torch.from_numpy(numbers.astype(np.uint32).view(np.int32))
    distance = np.abs(normals(words).double().numpy() - _expected(words))
    # the parabola is within 1e-7, and float32 has neighbours 5e-7 apart where normals are largest
    assert distance.max() < 6e-7


@pytest.mark.parametrize(
    "word, value",
    [(0, ndtri(2.0**-33)), (1, -ndtri(2.0**-33)), (2**31 - 1, 0.6744898), (-(2**31), -0.6744898), (-1, 0)],
)
def test_the_ends_of_the_range(word, value):
    assert normals(torch.tensor([word], dtype=torch.int32)).item() == pytest.approx(value, abs=5e-7)


def test_they_are_distributed_as_normals_are():
    drawn = normals(_words(4, 2**20)).numpy()
    assert stats.kstest(drawn, "norm").pvalue > 1e-3
    # moments of a million numbers: standard errors 0.001, 0.0014, 0.0024 and 0.0096
    for power, moment, error in ((1, 0, 0.001), (2, 1, 0.0014), (3, 0, 0.0039), (4, 3, 0.0096)):
        assert abs((drawn.astype(np.float64) ** power).mean() - moment) < 4 * error
    for values in (drawn, np.abs(drawn)):
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 4e-3


def test_shape_is_kept_and_the_words_are_left_alone():
    words = _words(5, 24).reshape(2, 3, 4)
    before = words.clone()
    assert normals(words).shape == words.shape and torch.equal(words, before)
    assert torch.equal(normals(words[:, 1:]), normals(words)[:, 1:])


@pytest.mark.parametrize("second", [0, 5, 2**63, 2**64 - 1])
@pytest.mark.parametrize("key", [(0, 0), (2**64 - 1, 2**63), (0x0123456789ABCDEF, 0xFEDCBA9876543210)])
def test_the_words_are_those_of_numpys_generator(key, second):
    counter = np.array([0, second, 0, 0], dtype=np.uint64)
    expected = np.random.Philox(key=np.array(key, dtype=np.uint64), counter=counter).random_raw(4 * 1000)
    signed = torch.from_numpy(np.array([second], dtype=np.uint64).view(np.int64))
    # numpy counts before it makes a block
    blocks = Philox(key, torch.device("cpu"))(torch.arange(1, 1001), signed)
    assert blocks.numpy().view(np.uint64).tobytes() == expected.tobytes()
