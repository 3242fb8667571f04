from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.data import digits
from workflow_scripts.data.splitting import stratified_split

SETTINGS = {"num_test": 297, "split_seed": 0}


def test_the_two_parts_are_the_whole_dataset_once():
    dataset = digits.load(SETTINGS)
    whole = load_digits()
    expected = sorted(
        (np.round(image * 255 / 16).astype(np.uint8).tobytes(), int(label))
        for image, label in zip(whole.images, whole.target)
    )
    got = sorted(
        (image.tobytes(), int(label))
        for part in (dataset.train, dataset.test)
        for image, label in zip(part.images, part.labels)
    )
    assert got == expected
    assert dataset.train.images.shape == (1500, 8, 8, 1) and dataset.test.images.shape == (297, 8, 8, 1)
    assert dataset.train.images.max() == 255


def test_the_split_is_stratified_mixed_and_a_function_of_its_seed():
    labels = load_digits().target
    train, test = stratified_split(labels, 297, 0)
    shares = 297 * np.bincount(labels) / len(labels)
    # largest remainder: no class is off its exact share by a whole image
    assert (np.abs(np.bincount(labels[test]) - shares) < 1).all() and len(test) == 297
    # a split sorted by class would have 0 in all of its first 20 places
    assert len(set(labels[train][:20])) > 3 and len(set(labels[test][:20])) > 3
    again = stratified_split(labels, 297, 0)
    assert np.array_equal(train, again[0]) and np.array_equal(test, again[1])
    assert not np.array_equal(np.sort(test), np.sort(stratified_split(labels, 297, 1)[1]))


@pytest.mark.parametrize("num_test", [None, 0, 9, 1790, 5000])
def test_a_split_without_every_class_on_both_sides_is_refused(num_test):
    with pytest.raises(ConfigError, match="data.num_test"):
        stratified_split(load_digits().target, num_test, 0)
