"""The gate: nothing runs unless the lock stands, nothing has drifted, and compared arms differ only in the factor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.core.files import sha256_file
from workflow_scripts.study import lock
from workflow_scripts.study.matched_compute import check_comparison


def open_gate(root: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What gate.json holds, when all is well; otherwise a PipelineError that says what is not and what to do.

    `settings` is `description.gate_settings`: study, preset, preregistered_preset, rehearsal, now (the state as a lock
    would hold it), settings (resolved, by arm), preregistrations, comparisons.
    """
    study, arms = settings["study"], settings["settings"]
    amendments = lock.require_unchanged(root, study, settings["now"])
    comparisons = [
        {**comparison, "differences": check_comparison(comparison, arms, comparison["preregistration"])}
        for comparison in settings["comparisons"]
        if comparison["arm"] in arms and comparison["comparator"] in arms
    ]
    path = lock.lock_path(study)
    return {
        **{
            key: settings[key]
            for key in ("study", "preset", "rehearsal", "preregistered_preset", "preregistrations")
        },
        "lock": {"path": path, "sha256": sha256_file(root / path)},
        "comparisons": comparisons,
        "amendments": amendments,
    }
