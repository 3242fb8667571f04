"""The project's configuration and preregistrations, not yet locked, as a copy that `edit` changes."""

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config", ignore=shutil.ignore_patterns("scratch"))
    without_lock = shutil.ignore_patterns("*.json*")
    shutil.copytree(ROOT / "docs/experiments", tmp_path / "docs/experiments", ignore=without_lock)
    # A preset that tests may edit; the shipped one may change without them.
    shutil.copy(Path(__file__).with_name("digits.yaml"), tmp_path / "config/study/MS1_min_snr/presets")
    # A preregistration without planned power, which tests add.
    e2 = tmp_path / "docs/experiments/E2_pre_reg.md"
    e2.write_text(re.sub(r"(?m)^(pilot|power): .*\n", "", e2.read_text()))
    return tmp_path


@pytest.fixture
def edit(project):
    def replace(path, old, new):
        text = (project / path).read_text()
        assert old in text, f"{path} no longer holds {old!r}"
        (project / path).write_text(text.replace(old, new, 1))

    return replace
