"""An arm's look is its own: presets, further arms and arms that go do not change it."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.study.config import arm_looks, load_study

ROOT = Path(__file__).parents[3]


def test_given_numbers_stay_and_the_others_take_what_is_free():
    arms = {"A": {"look": 3}, "B": {}, "D": {"look": 1}}
    assert arm_looks("f", arms) == {"A": 3, "B": 2, "D": 1}
    # A further arm between them, and one that goes, leave the rest as they are.
    assert arm_looks("f", arms | {"AB": {"look": 4}}) == {"A": 3, "AB": 4, "B": 2, "D": 1}
    assert arm_looks("f", {"A": {"look": 3}, "D": {"look": 1}}) == {"A": 3, "D": 1}


def test_two_arms_with_one_number_are_refused_with_a_free_one():
    with pytest.raises(ConfigError, match=r"study/S/B.yaml: look 1 already belongs to A; 2 is free"):
        arm_looks("study/S", {"A": {"look": 1}, "B": {"look": 1}})


def test_an_arm_looks_the_same_in_every_preset():
    looks: dict[str, set[int]] = {}
    for preset in ROOT.glob("config/preset/*.yaml"):
        for arm in load_study(ROOT, "MS1_min_snr", preset.stem).arms:
            looks.setdefault(arm.name, set()).add(arm.look)
    assert len(looks) > 2 and all(len(numbers) == 1 for numbers in looks.values())
    assert len(set.union(*looks.values())) == len(looks)
