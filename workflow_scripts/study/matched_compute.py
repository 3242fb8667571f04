"""Two arms that are compared may differ only in the preregistered factor; that is checked, not promised."""

from __future__ import annotations

from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.study.config import flatten


def differences(arm: dict[str, Any], comparator: dict[str, Any]) -> list[dict[str, Any]]:
    """Every setting in which two arms' resolved settings differ, by dotted key, sorted."""
    left, right = flatten(arm), flatten(comparator)
    return [
        {"key": key, "arm_value": left.get(key), "comparator_value": right.get(key)}
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    ]


def check_comparison(
    comparison: dict[str, Any], settings: dict[str, dict[str, Any]], where: str
) -> list[dict[str, Any]]:
    """The differences between the two arms of a comparison; PipelineError when one lies outside the factor."""
    arm, comparator = comparison["arm"], comparison["comparator"]
    found = differences(settings[arm], settings[comparator])
    for item in found:
        if item["key"] not in comparison["factor"]:
            raise PipelineError(
                f"{where}: {arm} and {comparator} are not matched: {item['key']} is {item['arm_value']!r} against "
                f"{item['comparator_value']!r}, and the preregistered factor is {', '.join(comparison['factor'])}; "
                "make the setting equal or compare other arms"
            )
    if not found:
        raise PipelineError(
            f"{where}: {arm} and {comparator} have equal settings, so there is nothing to compare"
        )
    return found
