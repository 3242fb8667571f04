"""Metrics of single images, pairs and logs, against their closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.house.excess_total_variation import excess_total_variation
from tests.house.psnr import psnr
from tests.house.sharpness import sharpness
from workflow_scripts.core.errors import ConfigError, PipelineError
from workflow_scripts.core.registry import constant_of, known, load
from workflow_scripts.study.measures import inputs_of, needs_of, rows_of


def test_the_laplacian_of_white_noise_has_20_times_its_variance():
    rng = np.random.default_rng(0)
    images = rng.normal(128, 10, (50, 34, 34, 1))
    # A checkerboard of amplitude a has a Laplacian of ±8 a.
    checkerboard = 128 + 10 * (-1.0) ** np.add.outer(np.arange(34), np.arange(34))[None, :, :, None]
    # 51,200 correlated pixels: about 2 %
    assert sharpness(images, checkerboard) == pytest.approx(20 * 10**2 / (64 * 10**2), rel=0.03)
    assert sharpness(images, images) == 1
    ramp = np.broadcast_to(np.arange(34.0)[None, :, None, None], (1, 34, 34, 3))
    assert sharpness(ramp, checkerboard) == 0


def test_psnr_is_the_mean_of_each_images_decibels():
    targets = np.full((3, 4, 4, 1), 100, dtype=np.uint8)
    samples = targets + np.array([1, 10, 0], dtype=np.uint8)[:, None, None, None]
    off_by_one = 20 * math.log10(255)
    expected = (off_by_one + (off_by_one - 20) + (off_by_one + 10 * math.log10(16))) / 3
    assert psnr(samples, np.concatenate((targets, targets))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (np.arange(20.0, 0, -1), 0.0),
        # means 10, 9, … with one bump of 4: up 3 instead of down 1, then down 5
        (np.repeat([10.0, 9, 8, 11, 6, 5, 4, 3, 2, 1], 2), 6 / 9),
    ],
)
def test_a_loss_that_only_falls_has_no_excess(loss, expected):
    assert excess_total_variation({"loss": loss}) == pytest.approx(expected)
    assert math.isnan(excess_total_variation({"loss": loss[::-1]}))


def test_what_a_metric_needs_is_what_its_parameters_are_called(tmp_path, monkeypatch):
    assert inputs_of("frechet_distance") == ["features", "extractor_info", "reference", "reference_info"]
    assert inputs_of("tests.house.psnr:psnr") == ["samples", "test"] and inputs_of(
        "tests.house.excess_total_variation:excess_total_variation"
    ) == ["log"]
    for name in known("metrics"):
        assert needs_of(name) and all(row.keys() >= {"better"} for row in rows_of(name).values())
    monkeypatch.setattr("workflow_scripts.core.registry.ROOT", tmp_path)
    (tmp_path / "mine.py").write_text(
        "ROWS = {'m': {'better': 'lower'}}\ndef m(samples, moon):\n    return 0\n"
    )
    with pytest.raises(ConfigError, match="mine:m needs moon, which is none of features, logits"):
        needs_of("mine:m")
    (tmp_path / "mine.py").write_text("def m(real, reference):\n    return 0\n")
    with pytest.raises(ConfigError, match="mine:m needs neither images nor the log of a run"):
        needs_of("mine:m")
    monkeypatch.undo()
    assert inputs_of("training_smoothness") == ["log", "train"]
    with pytest.raises(ConfigError, match="did you mean 'precision_recall'"):
        needs_of("precision_recal")


@pytest.mark.parametrize("name", ["kernel_distance", "precision_recall", "inception_score", "coverage"])
def test_a_metric_says_how_many_samples_it_needs(name):
    """So that a study with fewer is refused before training, not by the metric after it."""
    features = np.random.default_rng(0).normal(size=(constant_of("metrics", name, "MIN_SAMPLES"), 8))
    given = {"features": features, "logits": features, "reference_features": features, "extractor": "fid"}
    metric, needs = load("metrics", name), needs_of(name)
    assert metric(**{need: given[need] for need in needs})
    given |= {"features": features[1:], "logits": features[1:]}
    with pytest.raises(PipelineError):
        metric(**{need: given[need] for need in needs})
