from __future__ import annotations

import hashlib
import io
import urllib.error

import numpy as np
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from tests.random_inception import write_random_inception
from workflow_scripts.core import download as downloads
from workflow_scripts.core.errors import ConfigError, PipelineError
from workflow_scripts.metrics.classifier import Classifier, save_classifier
from workflow_scripts.metrics.extractors import iterate_features, load_extractor, metric_name
from workflow_scripts.metrics.inception import (
    download_inception_weights,
    load_inception,
    read_inception_weights,
)

CLASSIFIER = {"name": "fd_digits", "kind": "classifier", "feature_dim": 16}
INCEPTION = {"name": "inception_v3_compat", "kind": "inception", "feature_dim": 2048, "weights": None}


def images(count, side=8, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


@pytest.fixture
def classifier_path(tmp_path):
    torch.manual_seed(0)
    save_classifier(tmp_path / "extractor.pt", Classifier(8, 1, 10, 16))
    return tmp_path / "extractor.pt"


@pytest.fixture(scope="module")
def inception_path(tmp_path_factory):
    return write_random_inception(tmp_path_factory.mktemp("inception") / "weights.pth")


def test_only_inception_features_make_a_fid():
    assert metric_name(INCEPTION) == "fid"
    assert metric_name(CLASSIFIER) == "fd_digits"


def test_classifier_features_do_not_depend_on_batching(classifier_path):
    extract = load_extractor(CLASSIFIER, classifier_path)
    whole, logits = extract.features_and_logits(images(10))
    assert logits is None
    assert whole.shape == (10, 16) and whole.dtype == np.float32
    parts = list(iterate_features(extract, images(10), batch_size=4))
    assert [len(part) for part in parts] == [4, 4, 2]
    # Convolutions may sum in another order for another batch size; float32 leaves 1e-6.
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


@pytest.mark.parametrize(
    "bad", [images(2, side=9), images(2, channels=3), images(2).astype(np.float32), images(2)[0]]
)
def test_images_that_do_not_fit_are_refused(classifier_path, bad):
    with pytest.raises(PipelineError, match=r"uint8 images of shape \[8, 8, 1\]"):
        load_extractor(CLASSIFIER, classifier_path)(bad)


def test_a_wrong_feature_dim_names_the_setting(classifier_path):
    with pytest.raises(ConfigError, match="extractor.feature_dim is 17"):
        load_extractor(CLASSIFIER | {"feature_dim": 17}, classifier_path)


def test_weights_with_another_hash_are_refused(classifier_path):
    right = hashlib.sha256(classifier_path.read_bytes()).hexdigest()
    load_extractor(CLASSIFIER, classifier_path, right)
    with pytest.raises(PipelineError, match="extractor.pt is not the file"):
        load_extractor(CLASSIFIER, classifier_path, "0" * 64)


def test_inception_features_equal_torch_fidelitys(inception_path):
    batch = images(3, side=32, channels=3)
    theirs = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(inception_path)
    )
    expected = theirs(torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous())[0].numpy()
    ours, logits = load_extractor(INCEPTION, inception_path).features_and_logits(batch)
    assert ours.shape == (3, 2048) and ours.dtype == np.float32
    assert logits.shape == (3, 1008) and logits.dtype == np.float32
    # Ours sums in another order (channels_last, folded normalisation); measured 1e-6 of the largest feature.
    np.testing.assert_allclose(ours, expected, atol=1e-5 * np.abs(expected).max())
    assert np.abs(expected[0] - expected[1]).max() > 1e-3 * np.abs(expected).max()


def test_inception_takes_grey_as_three_equal_channels(inception_path):
    extract = load_extractor(INCEPTION, inception_path)
    grey = images(1, side=28)
    np.testing.assert_array_equal(extract(grey), extract(grey.repeat(3, axis=3)))
    with pytest.raises(PipelineError, match="1 or 3"):
        extract(images(1, channels=2))


def test_inception_is_kept_in_channels_last(inception_path):
    weight = load_inception(inception_path).Conv2d_2a_3x3.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def test_weights_of_another_network_are_refused(classifier_path):
    with pytest.raises(
        PipelineError, match="does not hold torch-fidelity's Inception weights; download https"
    ):
        load_extractor(INCEPTION, classifier_path)


def test_missing_weights_file_says_how_to_supply_it(tmp_path):
    with pytest.raises(PipelineError, match=r"nowhere.pth: .*download https.*set extractor.weights"):
        read_inception_weights(tmp_path / "nowhere.pth")


def test_failed_download_says_how_to_supply_the_file(monkeypatch):
    def no_network(url):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(downloads, "open_url", no_network)
    with pytest.raises(PipelineError, match=r"no route to host.*download https.*set extractor.weights"):
        download_inception_weights()


@pytest.mark.parametrize("intact", [True, False])
def test_a_download_must_be_the_published_file(monkeypatch, intact):
    monkeypatch.setattr(downloads, "open_url", lambda url: io.BytesIO(b"abcdef"))
    published = hashlib.sha256(b"abcdef" if intact else b"abcxyz").hexdigest()
    monkeypatch.setattr("workflow_scripts.metrics.inception.SHA256", published)
    if intact:
        assert download_inception_weights() == b"abcdef"
    else:
        with pytest.raises(PipelineError, match=f"expected {published}.*set extractor.weights"):
            download_inception_weights()
