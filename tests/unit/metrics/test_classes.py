"""What a classifier sees in samples: classes asked for, classes lost, modes, one channel at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.unit.metrics import test_metric_steps as steps
from workflow_scripts.core.files import read_npz_dict, write_npz
from workflow_scripts.data.images import load_dataset
from workflow_scripts.metrics.classifier import Classifier, accuracy, channels_apart, save_classifier
from workflow_scripts.metrics.extractors import load_extractor
from workflow_scripts.metrics.measures.class_accuracy import class_accuracy
from workflow_scripts.metrics.measures.class_histogram import class_histogram
from workflow_scripts.metrics.measures.modes import modes
from workflow_scripts.steps import extract_features
from workflow_scripts.study.results import flat


def test_class_accuracy_is_the_share_of_the_asked_and_of_the_judges_own():
    labels = np.arange(100) % 10
    found = class_accuracy(np.where(np.arange(100) < 90, labels, (labels + 1) % 10), labels, 0.75)
    assert found["class_accuracy"].value == pytest.approx(0.9)
    assert found["class_accuracy"].stderr == pytest.approx(0.03)
    assert found["class_accuracy_of_real"].value == 0.75
    assert found["class_accuracy_ratio"].value == pytest.approx(1.2)
    assert found["class_accuracy_ratio"].stderr == pytest.approx(0.04)


def test_a_histogram_has_a_divergence_a_smallest_share_and_lost_classes():
    real = np.repeat([0, 1, 2, 3], [40, 30, 20, 10])
    even = class_histogram(real, real, 4)
    assert even == {"class_kl": 0, "smallest_class_share": 1, "lost_classes": 0}
    # the last has a fifth of its share, twice the least
    found = class_histogram(np.repeat([0, 1, 2, 3], [60, 30, 8, 2]), real, 4)
    expected = 0.6 * math.log(1.5) + 0.08 * math.log(0.4) + 0.02 * math.log(0.2)
    assert found["class_kl"] == pytest.approx(expected, rel=1e-12)
    assert found["smallest_class_share"] == pytest.approx(0.2) and found["lost_classes"] == 0
    collapsed = class_histogram(np.zeros(50, dtype=np.int64), real, 4)
    assert collapsed == pytest.approx(
        {"class_kl": math.log(1 / 0.4), "smallest_class_share": 0, "lost_classes": 3}
    )


def test_a_class_without_real_images_is_told_apart_and_nothing_is_infinite():
    real = np.repeat([0, 2], [30, 10])
    # 3 of 12 are seen as class 1 or 3, the others as often as they should be but for 2 of 9
    found = class_histogram(np.repeat([0, 1, 2, 3], [7, 2, 2, 1]), real, 4)
    expected = 7 / 9 * math.log(7 / 9 / 0.75) + 2 / 9 * math.log(2 / 9 / 0.25)
    assert found == pytest.approx(
        {
            "class_kl": expected,
            "smallest_class_share": (2 / 12) / 0.25,
            "lost_classes": 0,
            "absent_class_share": 0.25,
        }
    )
    none = class_histogram(np.full(5, 3), real, 4)
    assert none == {"smallest_class_share": 0, "lost_classes": 2, "absent_class_share": 1}


def test_modes_are_counted_and_compared_with_equal_shares():
    assert modes(np.arange(3000) % 1000, 1000) == {"modes_hit": 1000, "modes_kl": pytest.approx(0, abs=1e-12)}
    assert modes(np.arange(400) % 250, 1000)["modes_hit"] == 250
    assert modes(np.arange(500) % 250, 1000)["modes_kl"] == pytest.approx(math.log(4))
    # 1,500 even draws hit 777 of 1,000 modes on average, give or take 11
    found = modes(np.random.default_rng(0).integers(0, 1000, 1500), 1000)
    assert found["modes_hit"] == pytest.approx(1000 * (1 - math.exp(-1.5)), abs=44)


def test_each_channel_is_judged_by_itself(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    labels = np.array([0, 7, 45, 123, 999])
    single = channels_apart(images, labels, 10)
    assert single["labels"].tolist() == [0, 0, 0, 0, 0, 7, 0, 4, 5, 1, 2, 3, 9, 9, 9]
    assert np.array_equal(single["images"][9 + 1, :, :, 0], images[3, :, :, 1])
    torch.manual_seed(0)
    classifier = Classifier(8, 1, 10, 16).eval()
    for parameter in classifier.parameters():  # untrained it would give one answer
        torch.nn.init.normal_(parameter, std=0.3)
    save_classifier(tmp_path / "extractor.pt", classifier)
    settings = {"name": "fd_stacked", "kind": "channels", "feature_dim": 48}
    extract, alone = (
        load_extractor(own, tmp_path / "extractor.pt")
        for own in (settings, {"name": "fd_digits", "kind": "classifier", "feature_dim": 16})
    )
    found = extract(images)
    # float32 sums whose order is the processor's choice: features are as large as 9
    assert found == pytest.approx(alone(single["images"]).reshape(5, 48), rel=1e-5, abs=1e-5)
    answers = alone.classes(alone(single["images"])).reshape(5, 3)
    assert np.array_equal(extract.classes(found), answers @ [100, 10, 1])
    assert len(set(answers.ravel())) > 1
    # an image is right if all its channels are
    right = answers.copy()
    right[0, 0] = (right[0, 0] + 1) % 10
    assert accuracy(classifier, single["images"], right.ravel(), together=3) == 4 / 5
    assert accuracy(classifier, single["images"], right.ravel()) == 14 / 15


def test_from_training_to_rows_by_the_steps(tmp_path):
    """Stacks of digits: the extractor, the answers in the file of features, and the rows of metrics."""
    folder = steps.write_inputs(tmp_path)
    for part in ("train", "test"):
        data = load_dataset(folder / f"{part}.npz")
        count = len(data["images"]) // 3 * 3
        images = data["images"][:count].reshape(-1, 3, 8, 8).transpose(0, 2, 3, 1)
        labels = data["labels"][:count].reshape(-1, 3) @ [100, 10, 1]
        write_npz(folder / f"{part}.npz", images=np.ascontiguousarray(images), labels=labels)
    write_npz(folder / "samples.npz", **load_dataset(folder / "test.npz"))
    extractor = steps.EXTRACTOR | {"name": "fd_stacked", "kind": "channels", "feature_dim": 48}
    arguments = "train=train.npz test=test.npz", "weights=extractor.pt info=extractor.json"
    settings = {"data": {"num_classes": 1000}, "extractor": extractor}
    steps.call(steps.train_extractor.main, settings, folder, *arguments)
    inputs = "samples=samples.npz weights=extractor.pt info=extractor.json"
    for asked in ({}, {"predicted": True}):
        settings = {"extractor": extractor, **asked}
        steps.call(extract_features.main, settings, folder, inputs, "features=features.npz")
        assert read_npz_dict(folder / "features.npz").keys() == {"features", *asked}
    rows = steps.run_measure(folder, "class_accuracy", num_samples=33)
    found = {row["metric"]: flat(row) for row in rows}
    # the samples are the test images: the judge is as good on them
    assert found["class_accuracy"]["value"] == found["class_accuracy_of_real"]["value"] > 0.5
    assert found["class_accuracy_ratio"]["value"] == 1
    assert found["class_accuracy"]["extractor"] == "fd_stacked"
    (hit, _) = sorted(
        steps.run_measure(folder, "modes", num_samples=33, needed={"num_classes": 1000}),
        key=lambda row: row["metric"],
    )
    assert hit["metric"] == "modes_hit" and 20 < hit["value"] <= 33
