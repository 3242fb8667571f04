"""The gate: nothing runs unless the lock holds and compared arms differ only in the preregistered factor.

A pilot needs no lock, because nothing of it enters the study.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_lines
from workflow_scripts.study import lock
from workflow_scripts.study.config import flatten


def open_gate(root: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of gate.json; PipelineError when the gate is shut.

    `settings` are those of `description.gate_settings`.
    """
    study, arms = settings["study"], settings["settings"]
    amendments = [] if settings["pilot"] else lock.require_unchanged(root, study, settings["now"])
    comparisons = [
        {**comparison, "differences": check_comparison(comparison, arms, comparison["preregistration"])}
        for comparison in settings["comparisons"]
        if comparison["arm"] in arms and comparison["comparator"] in arms
    ]
    path = lock.lock_path(study)
    handed_on = ("study", "preset", "rehearsal", "pilot", "preregistered_preset", "preregistrations")
    return {
        **{key: settings[key] for key in handed_on},
        "lock": {"path": path, "sha256": None if settings["pilot"] else sha256_lines(root / path)},
        "comparisons": comparisons,
        "amendments": amendments,
    }


def check_comparison(
    comparison: Mapping[str, Any], settings: Mapping[str, dict[str, Any]], where: str
) -> list[dict[str, Any]]:
    """List the settings in which two compared arms differ; PipelineError for one outside the factor.

    It keeps the compute of compared arms equal.
    """
    arm, comparator = comparison["arm"], comparison["comparator"]
    left, right = flatten(settings[arm]), flatten(settings[comparator])
    found = [
        {"key": key, "arm_value": left.get(key), "comparator_value": right.get(key)}
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    ]
    for item in found:
        if item["key"] not in comparison["factor"]:
            raise PipelineError(
                f"{where}: {arm} and {comparator} are not matched: {item['key']} is {item['arm_value']!r} "
                f"against {item['comparator_value']!r}, and the preregistered factor is "
                f"{', '.join(comparison['factor'])}; make the setting equal or compare other arms"
            )
    if not found:
        raise PipelineError(
            f"{where}: {arm} and {comparator} have equal settings, so there is nothing to compare"
        )
    return found
