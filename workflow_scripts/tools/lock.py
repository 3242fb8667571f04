"""Lock a study's preregistration, or amend the lock: python -m workflow_scripts.tools.lock lock|amend"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json, sha256_lines, sha256_text, write_json, write_text
from workflow_scripts.study import lock
from workflow_scripts.study.config import Study, load_study, read_config
from workflow_scripts.study.preregistration import (
    Preregistration,
    preregistered_preset,
    read_preregistrations,
)
from workflow_scripts.tools import errors_in_one_line, run


@errors_in_one_line()
def main(argv: list[str] | None = None, root: Path = Path()) -> None:
    parser = argparse.ArgumentParser(prog="python -m workflow_scripts.tools.lock", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("lock", "write the lock; refuses to replace one"), ("amend", "append an amendment")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--study", help="default: the study in config/config.yaml")
        if name == "amend":
            command.add_argument(
                "--reason", required=True, help="why the preregistration or a locked setting changed"
            )
            command.add_argument(
                "--results-seen", required=True, choices=["yes", "no"], help="had you seen any result?"
            )
    arguments = parser.parse_args(argv)
    print(_lock(root, arguments.study) if arguments.command == "lock" else _amend(root, arguments))


def _state(root: Path, name: str | None) -> tuple[Study, list[Preregistration], dict[str, Any]]:
    study_name, *_ = read_config(root, {"study": name} if name else {})
    preregistrations = read_preregistrations(root, study_name)
    study = load_study(root, study_name, preregistered_preset(preregistrations))
    return study, preregistrations, lock.current_state(root, study, preregistrations)


def _lock(root: Path, name: str | None) -> str:
    full, preregistrations, now = _state(root, name)
    study, path = full.name, lock.lock_path(full.name)
    if (root / path).exists():
        if not lock.drift(lock.read_lock(root, study), lock.read_amendments(root, study), now):
            return f"{path}: already locked, nothing has changed"
        raise PipelineError(
            f"{path} exists and differs from what a lock made now would hold; a lock is never replaced, "
            f"record the change instead: make amend STUDY={study} REASON='…' RESULTS_SEEN=yes|no"
        )
    # Only here: older locks have preregistrations that say nothing of it.
    for item in preregistrations:
        if "pilot" not in item.front:
            raise PipelineError(
                f"{item.path}: pilot is missing; name the one that the planned power comes from, as "
                "`make power` prints it, or say `pilot: none`"
            )
    write_json(root / path, now)
    arms = len(now["settings"]["arms"])
    return f"{path}: locked {len(now['preregistrations'])} preregistrations and {arms} arms"


def _amend(root: Path, arguments: argparse.Namespace) -> str:
    full, _, now = _state(root, arguments.study)
    study = full.name
    if not arguments.reason.strip():
        raise PipelineError("an amendment needs a reason: REASON='…'")
    path, earlier = lock.amendments_path(study), lock.read_amendments(root, study)
    found = lock.drift(lock.read_lock(root, study), earlier, now)
    if not found:
        raise PipelineError(f"nothing has drifted from {lock.lock_path(study)}, so there is nothing to amend")
    last = sha256_text(canonical_json(earlier[-1])) if earlier else sha256_lines(root / lock.lock_path(study))
    results = root / "results" / study / full.preset
    amendment = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "reason": arguments.reason.strip(),
        "results_seen": arguments.results_seen == "yes",
        # Independent of the author's answer: has the preregistered preset trained or measured anything here?
        "results_existed": (results / "results.jsonl").exists()
        or any(path.is_file() for path in results.glob("runs/*/*/**/*")),
        "changes": found,
        "previous_sha256": last,
    }
    write_text(root / path, "".join(canonical_json(item) + "\n" for item in (*earlier, amendment)))
    return f"{path}: amendment {len(earlier) + 1} records {len(found)} changes"


if __name__ == "__main__":
    run(main)
