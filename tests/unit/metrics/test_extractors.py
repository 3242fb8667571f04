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
from workflow_scripts.data.images import to_float
from workflow_scripts.metrics import inception
from workflow_scripts.metrics.classifier import Classifier, load_classifier, save_classifier
from workflow_scripts.metrics.extractors import load_extractor
from workflow_scripts.metrics.inception import load_inception, published_weights

CLASSIFIER = {"name": "fd_digits", "kind": "classifier", "feature_dim": 16}
INCEPTION = {"name": "fid", "kind": "inception", "feature_dim": 2048, "weights": None}


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


def test_classifier_features_are_those_of_the_images_in_their_memory_order(classifier_path):
    """To the last bit: another memory order of the same images gives a convolution other last bits."""
    whole, classifier = images(500), load_classifier(classifier_path)
    with torch.no_grad():
        expected = classifier.features(to_float(whole)).numpy()
    assert (load_extractor(CLASSIFIER, classifier_path)(whole) == expected).all()


def test_classifier_features_do_not_depend_on_batching(classifier_path):
    extract = load_extractor(CLASSIFIER, classifier_path)
    whole, logits = extract.features_and_logits(images(10))
    assert logits is None
    assert whole.shape == (10, 16) and whole.dtype == np.float32
    parts = [extract(part) for part in np.split(images(10), [4, 8])]
    # Convolutions may sum in another order for another batch size; float32 leaves 1e-6.
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


@pytest.mark.parametrize(
    "bad", [images(2, side=9), images(2, channels=3), images(2).astype(np.float32), images(2)[0]]
)
def test_images_that_do_not_fit_are_refused(classifier_path, bad):
    with pytest.raises(PipelineError, match=r"uint8 images of shape \[8, 8, 1\]"):
        load_extractor(CLASSIFIER, classifier_path)(bad)


def test_weights_that_the_settings_or_the_hash_do_not_describe_are_refused(classifier_path):
    load_extractor(CLASSIFIER, classifier_path, hashlib.sha256(classifier_path.read_bytes()).hexdigest())
    with pytest.raises(PipelineError, match="extractor.pt is not the file"):
        load_extractor(CLASSIFIER, classifier_path, "0" * 64)
    with pytest.raises(ConfigError, match="extractor.feature_dim is 17"):
        load_extractor(CLASSIFIER | {"feature_dim": 17}, classifier_path)


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


@pytest.mark.parametrize(("there", "reason"), [(True, "Missing key"), (False, "cannot read")])
def test_a_file_without_inceptions_weights_says_how_to_supply_them(classifier_path, there, reason):
    if not there:
        classifier_path.unlink()
    message = (
        rf"does not hold torch-fidelity's Inception weights \(.*{reason}.*download https.*extractor.weights"
    )
    with pytest.raises(PipelineError, match=message):
        load_inception(classifier_path)


@pytest.mark.parametrize(("sent", "message"), [(b"abcxyz", "sha256"), (None, "no route to host")])
def test_a_failed_download_leaves_nothing_and_says_how_to_supply_the_file(
    tmp_path, monkeypatch, sent, message
):
    def open_url(url):
        if sent is None:
            raise urllib.error.URLError("no route to host")
        return io.BytesIO(sent)

    monkeypatch.setattr(downloads, "open_url", open_url)
    with pytest.raises(PipelineError, match=rf"{message}.*download https.*set extractor.weights"):
        published_weights(tmp_path / "weights.pth")
    assert not list(tmp_path.iterdir())


def test_the_published_file_is_downloaded_once(tmp_path, monkeypatch):
    path, content = tmp_path / "weights.pth", b"abcdef"
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(content).hexdigest())
    with monkeypatch.context() as online:
        online.setattr(downloads, "open_url", lambda url: io.BytesIO(content))
        assert published_weights(path).read_bytes() == content
    assert published_weights(path) == path
    path.write_bytes(b"another file")
    with pytest.raises(PipelineError, match="weights.pth is not the published file.*delete it"):
        published_weights(path)
