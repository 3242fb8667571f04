"""Which look (colour and marker) each arm of a study has: a number that stays when presets differ and arms come and go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from workflow_scripts.core.errors import ConfigError


def arm_looks(folder: str, arms: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Look number (1, 2, …) of every arm of a study, whichever of them a preset runs.

    `arms` holds the content of each arm's file in `folder` by arm name. An arm keeps the `look` its file gives; the
    others take the numbers that are left, in the order of their names. ConfigError when two arms give one number.
    """
    given: dict[int, str] = {}
    for name, own in sorted(arms.items()):
        if "look" in own and given.setdefault(own["look"], name) != name:
            raise ConfigError(
                f"{folder}/{name}.yaml: look {own['look']} is that of {given[own['look']]} already; "
                f"free is {next(_free(given))}"
            )
    numbers = _free(given)
    return {name: own["look"] if "look" in own else next(numbers) for name, own in sorted(arms.items())}


def _free(taken: Mapping[int, str]) -> Iterator[int]:
    return (number for number in count(1) if number not in taken)
