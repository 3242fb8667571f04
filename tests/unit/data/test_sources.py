from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.core.errors import ConfigError, PipelineError
from workflow_scripts.data import sources
from workflow_scripts.data.dataset import Dataset, Split

SETTINGS = {
    "source": "digits",
    "image_size": 8,
    "channels": 1,
    "num_classes": 10,
    "num_train": None,
    "num_test": 297,
    "split_seed": 0,
}
NOWHERE = Path("nowhere")


def test_num_train_keeps_the_first_images_of_the_split():
    whole, few = (
        sources.load_source(SETTINGS, NOWHERE),
        sources.load_source({**SETTINGS, "num_train": 100}, NOWHERE),
    )
    assert np.array_equal(few.train.images, whole.train.images[:100])
    assert np.array_equal(few.train.labels, whole.train.labels[:100])
    assert np.array_equal(few.test.images, whole.test.images)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (
            {"source": "digit"},
            "data.source: unknown source 'digit'; known are cifar10, digits, image_folder, mnist",
        ),
        ({"num_train": 1501}, "data.num_train: asked for 1501 images, can be 1 to 1500"),
        ({"num_train": 0}, "data.num_train"),
        ({"image_size": 32}, "data.image_size"),
        ({"channels": 3}, "data.channels"),
        ({"num_classes": 9}, "data.num_classes"),
    ],
)
def test_settings_that_do_not_fit_name_the_key(change, word):
    with pytest.raises(ConfigError, match=word):
        sources.load_source({**SETTINGS, **change}, NOWHERE)


@pytest.mark.parametrize(
    "labels", [np.array([0, 2]), np.array([-1, 0]), np.array([0, 1], np.int32), np.array([0])]
)
def test_a_source_with_wrong_labels_is_refused(monkeypatch, labels):
    good = Split(np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 1]))
    broken = Dataset(good, Split(good.images, labels), ("a", "b"), "here", "none", "none", ())
    monkeypatch.setitem(sources.LOADERS, "broken", lambda settings, root, on_images: broken)
    with pytest.raises(PipelineError, match="labels"):
        sources.load_source({**SETTINGS, "source": "broken", "num_classes": 2, "num_test": None}, NOWHERE)


def test_a_source_without_a_test_part_is_split_by_seed_and_every_image_stays_once(monkeypatch):
    images = np.arange(20 * 64, dtype=np.int64).astype(np.uint8).reshape(20, 8, 8, 1)
    whole = Dataset(Split(images, np.arange(20) % 2), None, ("a", "b"), "here", "none", "as they are", ())
    monkeypatch.setitem(sources.LOADERS, "whole", lambda settings, root, on_images: whole)
    settings = {**SETTINGS, "source": "whole", "num_classes": 2, "num_test": 6}
    dataset, again, other = (
        sources.load_source({**settings, "split_seed": seed}, NOWHERE) for seed in (0, 0, 1)
    )
    assert np.bincount(dataset.test.labels).tolist() == [3, 3] and len(dataset.train.images) == 14
    both = np.concatenate([dataset.train.images, dataset.test.images])
    assert sorted(image.tobytes() for image in both) == sorted(image.tobytes() for image in images)
    assert np.array_equal(dataset.test.images, again.test.images)
    assert not np.array_equal(dataset.test.images, other.test.images)
    assert "split off" in dataset.preparation
