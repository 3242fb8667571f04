from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tests.unit.data.picture_files import picture, pixels, two_classes, write
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.data.image_folder import load
from workflow_scripts.data.prepare import describe, load_source

KINDS = ["own", "own.zip", "own.tar", "own.tar.gz", "own.tar.xz"]
SETTINGS = {
    "source": "image_folder",
    "image_size": 8,
    "channels": 3,
    "num_classes": 2,
    "num_train": None,
    "num_test": 4,
    "split_seed": 0,
}


def settings(path, **changed):
    return {**SETTINGS, "path": path.name, **changed}


def loaded(path, on_images=lambda count: None, **changed):
    return load(settings(path, **changed), path.parent, on_images)


def by_pixels(*splits):
    return sorted((image.tobytes(), int(label)) for s in splits for image, label in zip(s.images, s.labels))


def expected(files, part=""):
    return sorted((pixels(files[name]).tobytes(), int("dog/" in name)) for name in files if part in name)


def same(one, other):
    return all(
        np.array_equal(left.images, right.images) and np.array_equal(left.labels, right.labels)
        for left, right in ((one.train, other.train), (one.test, other.test))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_arrives_once_with_its_class_and_part(tmp_path, kind):
    files, counts = two_classes(), []
    dataset = loaded(write(tmp_path / kind, files), counts.append)
    assert dataset.classes == ("cat", "dog")
    assert by_pixels(dataset.train) == expected(files, "train/")
    assert by_pixels(dataset.test) == expected(files, "test/")
    assert dataset.train.images.shape == (6, 8, 8, 3) and dataset.train.labels.dtype == np.int64
    assert counts == list(range(1, 13))


def test_the_container_and_the_order_of_its_files_do_not_matter(tmp_path):
    files = two_classes()
    first = loaded(write(tmp_path / "a.tar", files))
    for name, order in (("b.tar.gz", reversed(files)), ("c.zip", files), ("d", files)):
        assert same(loaded(write(tmp_path / name, {key: files[key] for key in order})), first)


def test_the_order_is_mixed_and_a_function_of_the_seed(tmp_path):
    path = write(tmp_path / "own.zip", two_classes(per_class=20))
    first, again, other = (loaded(path, split_seed=seed) for seed in (0, 0, 1))
    assert same(first, again) and not same(first, other)
    # the first images hold both classes, or num_train would cut classes off
    assert set(first.train.labels[:10]) == {0, 1} and set(first.test.labels[:10]) == {0, 1}


@pytest.mark.parametrize("prefix", ["", "set/", "a/b/"])
@pytest.mark.parametrize("kind", ["own", "own.tar"])
def test_classes_alone_are_split_by_seed(tmp_path, kind, prefix):
    files = two_classes(per_class=4, parts=("",), prefix=prefix)
    path = write(tmp_path / kind, files)
    dataset = load_source(settings(path, test_split="from_train"), tmp_path)
    assert np.bincount(dataset.test.labels).tolist() == np.bincount(dataset.train.labels).tolist() == [2, 2]
    assert by_pixels(dataset.train, dataset.test) == expected(files)
    with pytest.raises(PipelineError, match="has no test part.*test_split: from_train"):
        load_source(settings(path), tmp_path)


def test_with_from_train_the_official_test_images_stay_out(tmp_path):
    files = two_classes(per_class=4)
    dataset = load_source(settings(write(tmp_path / "own", files), test_split="from_train"), tmp_path)
    assert by_pixels(dataset.train, dataset.test) == expected(files, "train/")


@pytest.mark.parametrize("kind", ["own", "own.zip"])
@pytest.mark.parametrize("parts", [("",), ("train/", "test/")])
def test_images_without_classes_have_no_labels(tmp_path, kind, parts):
    files = {f"{part}{number}.png": picture(number) for part in parts for number in range(8)}
    path, split = write(tmp_path / kind, files), {} if len(parts) == 2 else {"test_split": "from_train"}
    dataset = load_source(settings(path, num_classes=None, **split), tmp_path)
    assert dataset.classes == () and dataset.train.labels is dataset.test.labels is None
    described = describe(dataset, settings(path, title="own"))
    assert described["test"]["count"] == 4 and described["train"]["class_counts"] == []
    images = [*dataset.train.images, *(dataset.test.images if split else [])]
    of_train = [pixels(content).tobytes() for name, content in files.items() if name.startswith(parts[0])]
    assert sorted(image.tobytes() for image in images) == sorted(of_train)
    with pytest.raises(PipelineError, match="there are images such as"):
        loaded(write(tmp_path / f"more/{kind}", {**two_classes(), "1.png": picture(0)}), num_classes=None)


@pytest.mark.parametrize("split", [{}, {"test_split": "from_train"}])
@pytest.mark.parametrize("names", ["train test", "Training Testing", "train val", "cat TEST"])
def test_names_of_parts_are_never_taken_for_classes(tmp_path, names, split):
    files = {f"set/{name}/{number}.png": picture(number) for name in names.split() for number in range(4)}
    path = write(tmp_path / "own", files)
    with pytest.raises(PipelineError, match="is a part, not a class.*num_classes: null.*rotations") as caught:
        load_source(settings(path, **split), tmp_path)
    assert "from_train" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_class_may_be_called_train_where_there_are_parts(tmp_path):
    files = {name.replace("dog", "train"): content for name, content in two_classes().items()}
    assert loaded(write(tmp_path / "own", files)).classes == ("cat", "train")


def test_unlabelled_images_without_a_test_part_are_shown_their_own_layout(tmp_path):
    path = write(tmp_path / "own", {"1.png": picture(0)})
    with pytest.raises(PipelineError, match=r"lay it out \{train,test\}/\*, or .*test_split: from_train"):
        loaded(path, num_classes=None)


@pytest.mark.parametrize("kind", ["own.tar", "own.zip"])
def test_other_files_are_left_alone_and_so_is_the_archives_own_folder(tmp_path, kind):
    files = two_classes(prefix="")
    names = ("./", "./docs/", "./README.md", "./train/labels.csv", "./train/cat/.DS_Store")
    names += (
        "./train/cat/Icon\r",
        "./train/dog/THUMBS.DB",
        "./test/cat/1.png:Zone.Identifier",
        "./lost+found/",
    )
    extra = dict.fromkeys(names, b"")
    packed = {**extra, **{f"./{name}": content for name, content in files.items()}}
    assert same(loaded(write(tmp_path / kind, packed)), loaded(write(tmp_path / "plain", files)))


def test_the_manifests_material(tmp_path):
    path, files = write(tmp_path / "own.zip", two_classes()), two_classes()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    dataset = loaded(path, licence="mine", sha256=digest)
    assert dataset.sources == (("own.zip", path.stat().st_size, digest),)
    assert dataset.origin == "own.zip" and dataset.licence == "mine"
    with pytest.raises(PipelineError, match=f"own.zip has sha256 {digest}, data.sha256 is {'0' * 64}"):
        loaded(path, sha256="0" * 64)
    folder = loaded(write(tmp_path / "own", files))
    assert [(file.path, file.sha256) for file in folder.sources] == [
        (name, hashlib.sha256(files[name]).hexdigest()) for name in sorted(files)
    ]
    assert str(tmp_path) not in repr(folder)
    larger = write(tmp_path / "large", {name: picture(0, size=(20, 12), mode="L") for name in files})
    assert loaded(larger, resize="bicubic").preparation == (
        "grey images converted to colour, shorter side resized to 8 by bicubic, centre 8 x 8 kept"
    )
    assert loaded(path, channels=1).preparation == (
        "colour images converted to grey by ITU-R 601 luma, in the size they have"
    )


def test_missing_images_say_what_belongs_where(tmp_path):
    with pytest.raises(PipelineError) as caught:
        loaded(tmp_path / "own.zip")
    assert str(tmp_path / "own.zip") in str(caught.value) and "data_root=" in str(caught.value)
    assert "{train,test}/<class>/*" in str(caught.value) and "\n" not in str(caught.value)


CAT = "set/train/cat/9"
BAD = {
    "does not decode": ({f"{CAT}.png": b"no image"}, f"'{CAT}.png' does not decode"),
    "truncated": ({f"{CAT}.png": picture(0)[:-30]}, f"'{CAT}.png' does not decode"),
    "mixed sizes": ({f"{CAT}.png": picture(0, size=(9, 8))}, f"'{CAT}.png' has 9 x 8 pixels"),
    "mixed channels": ({f"{CAT}.png": picture(0, mode="L")}, "is grey.* is colour|is colour.* is grey"),
    "alpha": ({f"{CAT}.png": picture(0, mode="RGBA")}, f"'{CAT}.png' has Pillow's mode RGBA"),
    "empty class": ({"set/train/eel/": b""}, "/eel' holds no image"),
    "no test images": ({"set/train/eel/1.png": picture(0)}, "'set/test/eel' holds no image"),
    "no training images": ({"set/test/eel/1.png": picture(0)}, "'set/train/eel' holds no image"),
    "outside the class folders": ({"1.png": picture(0)}, "'1.png' lies outside the class folders"),
    "unlike depths": ({"set/train/cat/more/1.png": picture(0)}, "there are images such as"),
    "a third part": ({"set/extra/cat/1.png": picture(0)}, "there are images such as"),
    "another file": ({"set/train/cat/list.txt": b"x"}, "'set/train/cat/list.txt' is not an image"),
    "another format": ({f"{CAT}.tiff": b"x"}, f"'{CAT}.tiff' is not an image"),
}


@pytest.mark.parametrize("kind", ["own", "own.zip", "own.tar"])
@pytest.mark.parametrize("what", list(BAD))
def test_bad_input_is_one_line_naming_file_and_member(tmp_path, kind, what):
    extra, message = BAD[what]
    path = write(tmp_path / kind, {**two_classes(), **extra})
    with pytest.raises(PipelineError, match=message) as caught:
        loaded(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(PipelineError, match="holds no image"):
        loaded(write(tmp_path / "own", {"a/notes.txt": b"x"}))
