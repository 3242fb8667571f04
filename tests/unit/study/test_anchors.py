from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.study.config import load_study
from workflow_scripts.study.description import ANCHORS, published_anchors

ROOT = Path(__file__).parents[3]


def with_settings(study, section, **changes):
    """The study with some shared settings changed."""
    first = study.arms[0]
    settings = {**first.settings, section: {**first.settings[section], **changes}}
    return dataclasses.replace(study, arms=(dataclasses.replace(first, settings=settings), *study.arms[1:]))


@pytest.fixture(scope="module")
def cifar10():
    return load_study(ROOT, "MS1_min_snr", "cifar10")


def test_fid_on_all_of_cifar10_has_the_ddim_papers_values(cifar10):
    (anchor,) = published_anchors(ROOT, cifar10)
    values = {(c["sampler"], c["eta"]): dict(zip(c["nfe"], c["values"])) for c in anchor["curves"]}
    # Table 1 at S = 50: eta = 0, eta = 1 (posterior variance), sigma-hat.
    assert values["ddim", 0.0][50] == 4.67
    assert values["ddpm", None][50] == 8.01
    assert values["ddpm_large", None][50] == 32.72


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("extractor", {"name": "fd_cifar10"}),
        ("data", {"source": "cifar10_jpeg"}),
        ("data", {"num_train": 4000}),
    ],
)
def test_no_published_value_stands_beside_another_metric_or_dataset(cifar10, section, changes):
    assert published_anchors(ROOT, with_settings(cifar10, section, **changes)) == []


def test_the_rehearsal_on_digits_has_none():
    assert published_anchors(ROOT, load_study(ROOT, "MS1_min_snr", "digits")) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("values: [13.36, ", "values: [", "Published (DDIM paper), curve 1: needs as many values as nfe"),
        ("13.36", "-13.36", "anchors.0.curves.0.values.0 is -13.36, must be more than 0"),
        ("citation:", "citatoin:", "did you mean 'citation'"),
    ],
)
def test_a_mistake_in_the_file_is_named(cifar10, tmp_path, old, new, message):
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / ANCHORS, tmp_path / ANCHORS)
    text = (tmp_path / ANCHORS).read_text()
    assert old in text
    (tmp_path / ANCHORS).write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match="config/anchors.yaml: ") as error:
        published_anchors(tmp_path, cifar10)
    assert message in str(error.value)
