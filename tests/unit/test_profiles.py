"""A workflow profile replaces the default one, so what must hold everywhere stands in each of them."""

from pathlib import Path

import pytest
import yaml

PROFILES = Path(__file__).parents[2] / "profiles"
DEFAULT = yaml.safe_load((PROFILES / "default" / "config.yaml").read_text())


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*/config.yaml")), ids=lambda path: path.parent.name)
def test_every_profile_holds_what_the_default_profile_says(path):
    profile = yaml.safe_load(path.read_text())
    assert {key: profile.get(key) for key in DEFAULT} == DEFAULT


def test_no_rule_has_retries_of_its_own():
    """The Snakemake inside a cluster job would multiply them with the profile's."""
    for path in PROFILES.parent.glob("rules/*.smk"):
        assert "retries:" not in path.read_text(), path
