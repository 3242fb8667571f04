"""Stacked digits: which digits, in which order, from which part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.unit.data.test_published import idx, mnist, put  # noqa: F401
from workflow_scripts.core.errors import ConfigError
from workflow_scripts.core.randomness import stream
from workflow_scripts.data.prepare import load_source, prepare, require_files
from workflow_scripts.data.published import to_download

ROOT = Path(__file__).parents[3]
DIGITS = {"source": "digits_stacked", "title": "t", "image_size": 8, "channels": 3, "num_classes": 1000}
DIGITS |= {"num_train": 300, "num_test": 50, "split_seed": 0}
SINGLE = DIGITS | {"source": "digits", "channels": 1, "num_classes": 10, "num_train": None, "num_test": 297}


def test_each_channel_is_a_digit_of_the_label_and_of_its_part():
    dataset, single = load_source(DIGITS, ROOT), load_source(SINGLE, ROOT)
    for part, count in (("train", 300), ("test", 50)):
        split, digits = getattr(dataset, part), getattr(single, part)
        chosen = stream(0, f"stack_{part}").integers(0, len(digits.images), size=(count, 3))
        assert split.images.shape == (count, 8, 8, 3) and split.labels.dtype == np.int64
        for place in range(3):
            assert np.array_equal(split.images[..., place], digits.images[chosen[:, place], :, :, 0])
            assert np.array_equal(split.labels // 10 ** (2 - place) % 10, digits.labels[chosen[:, place]])
    assert dataset.classes[7] == "007" and len(dataset.classes) == 1000
    assert "three drawn at random" in dataset.preparation and dataset.sources == single.sources


def test_stacks_are_drawn_by_seed_and_a_longer_list_begins_like_a_shorter_one():
    first, again, other = (load_source(DIGITS | {"split_seed": seed}, ROOT) for seed in (0, 0, 1))
    assert np.array_equal(first.train.images, again.train.images)
    assert not np.array_equal(first.train.labels, other.train.labels)
    longer = load_source(DIGITS | {"num_train": 400}, ROOT).train
    assert np.array_equal(longer.labels[:300], first.train.labels)
    with pytest.raises(ConfigError, match=r"data.num_train: must be a number"):
        load_source(DIGITS | {"num_train": None}, ROOT)


def test_mnist_is_stacked_from_the_same_files(tmp_path, mnist):  # noqa: F811
    put(tmp_path, mnist)
    settings = DIGITS | {"source": "mnist_stacked", "image_size": 28, "test_split": "official"}
    require_files(settings, tmp_path)
    paths = [tmp_path / name for name in ("train.npz", "test.npz", "manifest.json")]
    prepare(settings, tmp_path, *paths)
    manifest = json.loads(paths[2].read_text())
    assert manifest["shape"] == [28, 28, 3] and manifest["train"]["count"] == 300
    assert len(manifest["sources"]) == 4 and sum(manifest["test"]["class_counts"]) == 50
    (tmp_path / "train-images-idx3-ubyte.gz").unlink()
    missing = to_download(settings | {"download": True}, tmp_path)
    assert [url.rpartition("/")[2] for url in missing] == ["train-images-idx3-ubyte.gz"]


@pytest.mark.parametrize("name", ["digits_stacked", "mnist_stacked"])
def test_the_shipped_settings_fit_together(name):
    shipped = yaml.safe_load((ROOT / f"config/data/{name}.yaml").read_text())
    data, extractor = shipped["data"], shipped["extractor"]
    assert data["source"] == name and data["num_classes"] == 10 ** data["channels"]
    assert extractor["feature_dim"] % data["channels"] == 0 and extractor["kind"] == "channels"
