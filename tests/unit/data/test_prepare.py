from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from tests.unit.data.picture_files import picture, write
from workflow_scripts.core.errors import ConfigError, PipelineError
from workflow_scripts.data.images import load_dataset
from workflow_scripts.data.prepare import (
    content_sha256,
    load_source,
    prepare,
    require_files,
    stratified_split,
)
from workflow_scripts.data.published import load_digits

ROOT = Path(__file__).parents[3]
SETTINGS = {
    "source": "digits",
    "title": "digits",
    "image_size": 8,
    "channels": 1,
    "num_classes": 10,
    "num_train": 200,
    "num_test": 100,
    "split_seed": 0,
}
NOWHERE = Path("nowhere")


def test_files_and_manifest_tell_the_same_story(tmp_path):
    files = [tmp_path / name for name in ("train.npz", "test.npz", "manifest.json")]
    manifest = prepare(SETTINGS, tmp_path, *files)
    assert manifest == json.loads(files[2].read_text())
    assert manifest["shape"] == [8, 8, 1] and manifest["classes"] == list("0123456789")
    assert manifest["licence"]
    (source,) = manifest["sources"]
    bundled = Path(sklearn.datasets.__file__).parent / "data" / source["path"]
    assert source["bytes"] == bundled.stat().st_size
    assert source["sha256"] == manifest["sources_sha256"] == hashlib.sha256(bundled.read_bytes()).hexdigest()
    for part, count in (("train", 200), ("test", 100)):
        images, labels = load_dataset(tmp_path / f"{part}.npz").values()
        assert manifest[part]["count"] == len(images) == count
        assert manifest[part]["class_counts"] == [int((labels == name).sum()) for name in range(10)]
        shapes = str(images.shape).encode(), str(labels.shape).encode()
        content = b"|u1" + shapes[0] + images.tobytes() + b"<i8" + shapes[1] + labels.tobytes()
        assert manifest[part]["sha256"] == hashlib.sha256(content).hexdigest()


def test_content_sha256_sees_every_value_and_the_shape():
    images, labels = np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int64)
    altered = images.copy()
    altered[1, 3, 3, 0] = 1
    sums = [content_sha256(each, labels) for each in (images, altered, images.reshape(2, 2, 8, 1))]
    assert len(set(sums)) == 3 and sums[0] == content_sha256(images.copy(), labels)


def test_the_entry_point_writes_the_same_bytes_twice(tmp_path):
    files = ("train.npz", "test.npz", "manifest.json")
    for folder in ("one", "two"):
        command = [sys.executable, "-m", "workflow_scripts.steps.prepare_data"]
        command += ["--settings", json.dumps({"data": SETTINGS}), "--input", "root", str(tmp_path)]
        for file in files:
            command += ["--output", file.partition(".")[0], str(tmp_path / folder / file)]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_num_train_keeps_the_first_images_of_the_split():
    whole, few = (load_source({**SETTINGS, "num_train": count}, NOWHERE) for count in (None, 100))
    assert len(whole.train.images) == 1697
    assert np.array_equal(few.train.images, whole.train.images[:100])
    assert np.array_equal(few.train.labels, whole.train.labels[:100])
    assert np.array_equal(few.test.images, whole.test.images)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"num_train": 1698}, "data.num_train: asked for 1698 images, can be 1 to 1697"),
        ({"num_train": 0}, "data.num_train"),
        ({"image_size": 32}, "data.image_size"),
        ({"channels": 3}, "data.channels"),
        ({"num_classes": 9}, "data.num_classes"),
    ],
)
def test_settings_that_do_not_fit_name_the_key_and_nothing_is_written(tmp_path, change, word):
    with pytest.raises(ConfigError, match=word):
        prepare({**SETTINGS, **change}, NOWHERE, *(tmp_path / name for name in ("a.npz", "b.npz", "c.json")))
    assert list(tmp_path.iterdir()) == []


def pairs(split):
    return [(image.tobytes(), label) for image, label in zip(split.images, split.labels)]


def test_a_source_without_a_test_part_is_split_by_seed_and_every_image_stays_once():
    settings = {**SETTINGS, "num_train": None, "num_test": 297}
    dataset, again, other = (load_source({**settings, "split_seed": seed}, NOWHERE) for seed in (0, 0, 1))
    parts = [*pairs(dataset.train), *pairs(dataset.test)]
    assert sorted(parts) == sorted(pairs(load_digits().train))
    assert np.array_equal(dataset.test.images, again.test.images)
    assert not np.array_equal(dataset.test.images, other.test.images)
    assert "split off" in dataset.preparation


def test_the_split_is_stratified_mixed_and_a_function_of_its_seed():
    labels = sklearn.datasets.load_digits().target
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
        stratified_split(sklearn.datasets.load_digits().target, num_test, 0)


@pytest.mark.parametrize("split", ["official", "from_train"])
def test_test_images_that_are_training_images_too_give_a_warning(tmp_path, split):
    names = [f"{part}/{name}/{n}.png" for part in ("train", "test") for name in "ab" for n in range(4)]
    settings = {**SETTINGS, "source": "image_folder", "path": "own", "channels": 3, "num_classes": 2}
    settings |= {"num_train": None, "num_test": 4, "test_split": split}
    warnings = []
    for images in ([picture(0)] * 16, map(picture, range(16))):  # all alike, then all different
        write(tmp_path / "own", dict(zip(names, images)))
        paths = [tmp_path / name for name in ("train.npz", "test.npz", "manifest.json")]
        prepare(settings, tmp_path, *paths, warn=warnings.append)
    assert [line.partition("; remove")[0] for line in warnings] == [
        "warning: 4 of 4 test images are training images too"
    ]


def own_source(tmp_path, monkeypatch, text):
    """Settings with a source of one's own, whose function `load` has this body."""
    name = f"own_{abs(hash(text))}"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("workflow_scripts.core.registry.ROOT", tmp_path)
    parts = "one = dict(images=np.zeros((9, 8, 8, 1), np.uint8), labels=np.arange(9) % 2)"
    body = f"import numpy as np\n{parts}\n\n\ndef load(root, num_test, extra=None):\n    {text}\n"
    (tmp_path / f"{name}.py").write_text(body)
    return {**SETTINGS, "source": f"{name}:load", "num_classes": 2, "num_train": None, "num_test": 5}


def test_ones_own_source_gives_pairs_that_stay_together(tmp_path):
    settings = {**SETTINGS, "source": "tests.house.blurred:blurred", "num_train": None, "radius": 2}
    files = [tmp_path / name for name in ("train.npz", "test.npz", "manifest.json")]
    manifest = prepare(settings, tmp_path, *files)
    train, test = map(load_dataset, files[:2])
    assert list(train) == list(test) == ["images", "labels", "condition"]
    assert (manifest["train"]["count"], manifest["test"]["count"]) == (1697, 100)
    assert manifest["test"]["sha256"] == content_sha256(*test.values()) and manifest["sources"] == []
    padded = np.pad(test["images"][3, ..., 0], 2, mode="edge")
    assert abs(test["condition"][3, 4, 5, 0] - padded[4:9, 5:10].mean()) <= 0.5
    few = load_source({**settings, "num_train": 7}, tmp_path).train
    assert np.array_equal(few.condition, train["condition"][:7])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return one", "KeyError: 'train'; return {train, test}"),
        ("return None", "TypeError: .*; return {train, test}"),
        ("return {'train': one, 'test': {**one, 'more': 1}}", "TypeError: .*'more'"),
        ("return {'train': one, 'test': {'images': [1]}}", "AttributeError: 'list'"),
        ("return {'train': one, 'test': {'images': one['images']}}", "the parts hold different arrays"),
        (
            "return {'train': one, 'test': {**one, 'condition': one['images'][:3]}}",
            "test: condition are ",
        ),
        ("return {'train': {'images': one['images'] / 255}, 'test': one}", "train: images are float64 "),
        ("return dict.fromkeys(('train', 'test'), {**one, 'labels': -one['labels']})", "must be 0 or more"),
        ("return dict.fromkeys(('train', 'test'), {**one, 'labels': one['labels'] * 2})", "has 3"),
        ("return {'train': one, 'test': {**one, 'images': one['images'][:, 2:, 2:]}}", "data.image_size"),
    ],
)
def test_ones_own_source_that_does_not_fit_says_what_was_expected(tmp_path, monkeypatch, body, words):
    settings = own_source(tmp_path, monkeypatch, body)
    with pytest.raises(PipelineError, match=words) as error:
        load_source(settings, NOWHERE)
    assert "\n" not in str(error.value)


def test_files_of_ones_own_source_are_its_sources(tmp_path, monkeypatch):
    settings = own_source(tmp_path, monkeypatch, "return {'train': one, 'test': one}") | {"path": "there"}
    with pytest.raises(PipelineError, match="there is missing"):
        require_files(settings, tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there/a.bin").write_bytes(b"abc")
    assert [file.path for file in load_source(settings, tmp_path).sources] == ["a.bin"]
