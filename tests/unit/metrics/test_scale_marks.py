from __future__ import annotations

import numpy as np
import pytest

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.metrics import scale_marks
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.scale_marks import num_images, reference_and_scale_marks
from workflow_scripts.metrics.statistics import statistics_of


def pixels(images):
    """An extractor whose features are the first three pixels."""
    return images.reshape(len(images), -1)[:, :3].astype(np.float32)


def dark_images(count, seed):
    return np.random.default_rng(seed).integers(0, 60, (count, 2, 2, 1), dtype=np.uint8)


def test_reference_and_marks_on_features_one_can_check():
    train, test, done = dark_images(1251, 0), dark_images(40, 1), []
    reference, features, marks = reference_and_scale_marks(pixels, train, test, 3, done.append)
    assert done == sorted(done) and done[-1] == num_images(train, test) == 1371
    expected = statistics_of(pixels(train))
    assert reference.count == 1251
    np.testing.assert_array_equal(features, pixels(train))
    # Two halves are merged, so the sums are ordered differently: float64 rounding only.
    np.testing.assert_allclose(reference.mu, expected.mu, rtol=1e-12)
    np.testing.assert_allclose(reference.sigma, expected.sigma, rtol=1e-12)
    assert [(mark["id"], mark["num_samples"], mark["label"]) for mark in marks] == [
        ("train_half_vs_half", 625, "625 training images against the other 626"),
        ("test_vs_train", 40, "40 test images against all 1,251 training images"),
        ("uniform_noise", 40, "40 images of uniform noise against all 1,251 training images"),
        (
            "gaussian_noise",
            40,
            "40 images of Gaussian noise, from which sampling starts, against all 1,251 training images",
        ),
    ]
    halves, test_mark, noise, gaussian = (mark["value"] for mark in marks)
    assert test_mark == pytest.approx(frechet_distance(statistics_of(pixels(test)), expected), rel=1e-10)
    # Noise over 0..255 has mean 127.5 against 29.5: the means alone are 3 * 98^2 apart, 40 images leave a few
    # per cent.
    assert noise > 0.8 * 3 * 98**2
    assert halves < 0.01 * noise
    # Cut to the scale, it keeps its mean and has more spread than uniform noise: P(|x| > 1) = 0.32 sits at
    # the ends.
    assert gaussian > noise


def test_features_of_a_random_part_of_the_training_images_are_kept(monkeypatch):
    monkeypatch.setattr(scale_marks, "MAX_REFERENCE_FEATURES", 50)
    train = dark_images(251, 0)
    reference, features, _ = reference_and_scale_marks(pixels, train, dark_images(40, 1), 3)
    assert reference.count == 251
    everything = pixels(train).tolist()
    places = [everything.index(vector) for vector in features.tolist()]
    assert len(set(places)) == 50 and places == sorted(places)
    assert places[-1] > 200 and places != list(range(50))


def test_gaussian_noise_is_what_sampling_starts_from():
    noise = scale_marks._gaussian_noise_like(np.empty((4, 32, 32, 3), dtype=np.uint8)) / 127.5 - 1
    # 12,288 draws: the mean is known to 0.01, each share to 0.005. A normal variable lies beyond 1 with
    # 0.1587 per side.
    assert abs(noise.mean()) < 0.03
    assert abs((noise >= 1).mean() - 0.1587) < 0.02 and abs((noise <= -1).mean() - 0.1587) < 0.02
    inside = noise[np.abs(noise) < 1]
    assert abs((np.abs(inside) < 0.5).mean() - 0.3829 / 0.6827) < 0.02


def test_halves_are_drawn_at_random_and_marks_repeat_exactly():
    # Sorted data: the first half and the second are far apart, two random halves are not.
    train = np.sort(dark_images(400, 0), axis=0)
    first, second = statistics_of(pixels(train[:200])), statistics_of(pixels(train[200:]))
    marks = reference_and_scale_marks(pixels, train, dark_images(40, 1), 3)[2]
    assert marks[0]["value"] < 0.05 * frechet_distance(first, second)
    assert marks == reference_and_scale_marks(pixels, train, dark_images(40, 1), 3)[2]


@pytest.mark.parametrize(("num_train", "num_test"), [(3, 10), (10, 1)])
def test_too_few_images_for_a_covariance(num_train, num_test):
    with pytest.raises(PipelineError, match=f"got {num_train} and {num_test}"):
        reference_and_scale_marks(pixels, dark_images(num_train, 0), dark_images(num_test, 1), 3)
