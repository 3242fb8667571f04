"""The gate before training: the lock stands, nothing has drifted, and compared arms differ only in the factor.

Settings: study, preset, rehearsal, preregistered_preset, now (the state as a lock would hold it), settings (resolved, by
arm), comparisons (with experiment and where). Inputs: lock and amendments when they exist. Output: gate.
"""

from __future__ import annotations

from pathlib import Path

from workflow_scripts.common.files import sha256_file, write_json
from workflow_scripts.common.step import Step, run
from workflow_scripts.study import lock
from workflow_scripts.study.matched_compute import check_comparison


def main(step: Step) -> None:
    study = step.setting("study")
    amendments = lock.require_unchanged(Path(), study, step.setting("now"))
    arms = step.setting("settings")
    comparisons = [
        {**comparison, "differences": check_comparison(comparison, arms, comparison["preregistration"])}
        for comparison in step.setting("comparisons")
        if comparison["arm"] in arms and comparison["comparator"] in arms
    ]
    gate = {
        "study": study,
        "preset": step.setting("preset"),
        "rehearsal": step.setting("rehearsal"),
        "preregistered_preset": step.setting("preregistered_preset"),
        "lock": {"path": lock.lock_path(study), "sha256": sha256_file(lock.lock_path(study))},
        "preregistrations": step.setting("preregistrations"),
        "comparisons": comparisons,
        "amendments": amendments,
    }
    write_json(step.output("gate"), gate)
    step.say(f"lock verified, {len(comparisons)} comparisons matched, {len(amendments)} amendments")


if __name__ == "__main__":
    run(main)
