from __future__ import annotations

import numpy as np
import pytest
import torch

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import write_npz
from workflow_scripts.data.images import load_dataset, to_float, to_uint8


def test_every_grey_level_survives_the_round_trip_exactly():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(to_uint8(to_float(levels)), levels)


def test_to_float_is_the_stated_formula_with_channels_first():
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 2), dtype=np.uint8)
    x = to_float(images)
    assert x.dtype == torch.float32 and x.shape == (3, 2, 4, 5) and x.is_contiguous()
    # float32 against float64 arithmetic: values below 2 in magnitude, so a few units of 1.2e-7
    np.testing.assert_allclose(x.numpy(), images.transpose(0, 3, 1, 2) / 127.5 - 1.0, atol=5e-7)
    before = images.copy()
    x.fill_(0)
    assert np.array_equal(images, before)
    with pytest.raises(ValueError, match="uint8"):
        to_float(images.astype(np.float32))


def test_to_uint8_clamps_rounds_and_puts_channels_last():
    x = torch.tensor([-3.0, -1.0, 0.0, 1.0, 9.0, 0.5 / 127.5 - 1 - 1e-4]).reshape(1, 3, 2, 1)
    # 127.5 rounds to the even 128
    assert to_uint8(x).transpose(0, 3, 1, 2).ravel().tolist() == [0, 0, 128, 255, 255, 0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_to_uint8_refuses_values_that_have_no_grey_level(bad):
    with pytest.raises(PipelineError, match="NaN or infinite"):
        to_uint8(torch.full((1, 1, 2, 2), bad))


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"images": np.zeros((2, 4, 4, 1), np.float32), "labels": np.zeros(2, np.int64)}, "float32"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": np.zeros(2, np.int64)}, "images"),
        ({"images": np.zeros((0, 4, 4, 1), np.uint8), "labels": np.zeros(0, np.int64)}, "at least 1"),
        ({"images": np.zeros((2, 4, 4, 1), np.uint8), "labels": np.zeros(3, np.int64)}, "labels"),
        ({"images": np.zeros((2, 4, 4, 1), np.uint8), "labels": np.zeros(2, np.int32)}, "int32"),
        ({"labels": np.zeros(2, np.int64)}, "images"),
    ],
)
def test_load_dataset_names_the_file_that_holds_something_else(tmp_path, arrays, word):
    write_npz(tmp_path / "d.npz", **arrays)
    with pytest.raises(PipelineError, match=word) as caught:
        load_dataset(tmp_path / "d.npz")
    assert str(tmp_path / "d.npz") in str(caught.value)


def test_load_dataset_returns_what_was_written_and_names_a_missing_or_truncated_file(tmp_path):
    path, images, labels = tmp_path / "d.npz", np.ones((2, 4, 4, 1), np.uint8), np.array([3, 1])
    with pytest.raises(PipelineError, match="d.npz"):
        load_dataset(path)
    write_npz(path, images=images, labels=labels)
    read = load_dataset(path)
    assert np.array_equal(read["images"], images) and np.array_equal(read["labels"], labels)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PipelineError, match="d.npz"):
        load_dataset(path)
