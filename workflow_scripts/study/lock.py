"""The lock: what was promised, hashed, before any result was seen; and the amendments made since.

The lock holds the sha256 of every preregistration and the resolved settings of every arm at the preregistered preset.
Amendments are lines appended to a file beside it, each naming the hash of what stands before it, so that none can be
changed or dropped unseen. What may differ between machines (downloads, weights files) is not locked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import ConfigError, PipelineError
from workflow_scripts.core.files import canonical_json, read_json, read_json_lines, sha256_file, sha256_text
from workflow_scripts.study import schema
from workflow_scripts.study.config import Study, flatten, load_study
from workflow_scripts.study.preregistration import Preregistration

FORMAT = 1
MACHINE_KEYS = ("data.download", "extractor.weights")


def lock_path(study: str) -> str:
    """Where a study's lock lies, relative to the project."""
    return f"docs/experiments/{study}.lock.json"


def amendments_path(study: str) -> str:
    """Where a study's amendments lie, relative to the project."""
    return f"docs/experiments/{study}.amendments.jsonl"


def current_state(root: Path, study: Study, preregistrations: list[Preregistration]) -> dict[str, Any]:
    """What a lock made now would hold."""
    preset = preregistrations[0].front["preset"]
    full = study if study.preset == preset else load_study(root, study.name, preset)
    arms = {
        arm.name: {k: v for k, v in flatten(arm.settings).items() if k not in MACHINE_KEYS}
        for arm in full.arms
    }
    first = next(iter(arms.values()))
    common = {
        key: value for key, value in first.items() if all(arm.get(key) == value for arm in arms.values())
    }
    own = {name: {k: v for k, v in arm.items() if k not in common} for name, arm in arms.items()}
    return {
        "format": FORMAT,
        "study": study.name,
        "preset": preset,
        "seeds": list(full.seeds),
        "preregistrations": {item.path: item.sha256 for item in preregistrations},
        "settings": {"every_arm": common, "arms": own},
    }


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[dict[str, Any]]:
    """What differs between two states, one entry per key: `{"what", "locked", "now"}`."""
    left, right = _flat_state(before), _flat_state(now)
    return [
        {"what": key, "locked": left.get(key), "now": right.get(key)}
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    ]


def _flat_state(state: dict[str, Any]) -> dict[str, Any]:
    flat = {"preset": state["preset"], "seeds": state["seeds"]}
    flat.update({f"preregistration {path}": digest for path, digest in state["preregistrations"].items()})
    for arm, own in state["settings"]["arms"].items():
        for key, value in {**state["settings"]["every_arm"], **own}.items():
            flat[f"{arm}: {key}"] = value
    return flat


def read_lock(root: Path, study: str) -> dict[str, Any]:
    """The lock; PipelineError when it is missing, damaged or of another format."""
    path = root / lock_path(study)
    if not path.is_file():
        raise PipelineError(
            f"{lock_path(study)} is missing: the preregistration is not locked, so nothing is trained; run: make lock STUDY={study}"
        )
    lock = read_json(path)
    _check(lock, "lock", f"{lock_path(study)} is not a lock in format {FORMAT}")
    if lock["study"] != study:
        raise PipelineError(
            f"{lock_path(study)} is a lock of {lock['study']}, not of {study}; restore it from git"
        )
    return lock


def read_amendments(root: Path, study: str) -> list[dict[str, Any]]:
    """The amendments in order, their chain of hashes verified; an empty list when there are none."""
    path = root / amendments_path(study)
    if not path.is_file():
        return []
    amendments = read_json_lines(path)
    previous = sha256_file(root / lock_path(study))
    for number, amendment in enumerate(amendments, start=1):
        if amendment.get("previous_sha256") != previous:
            raise PipelineError(
                f"{amendments_path(study)}, line {number}: does not follow from what stands before it; the lock or an "
                "earlier amendment was changed; restore both from git"
            )
        _check(amendment, "amendment", f"{amendments_path(study)}, line {number}")
        previous = sha256_text(canonical_json(amendment))
    return amendments


def _check(value: Any, definition: str, where: str) -> None:
    try:
        schema.check(value, definition, where)
    except ConfigError as error:
        raise PipelineError(f"{error}; restore it from git") from error


def last_link(root: Path, study: str) -> str:
    """The hash that the next amendment must name as `previous_sha256`."""
    amendments = read_amendments(root, study)
    return sha256_text(canonical_json(amendments[-1])) if amendments else sha256_file(root / lock_path(study))


def drift(
    lock: dict[str, Any], amendments: list[dict[str, Any]], now: dict[str, Any]
) -> list[dict[str, Any]]:
    """What differs now from the lock as amended; empty when all is as locked."""
    promised = {item["what"]: item for item in changes(lock, now)}
    amended: dict[str, Any] = {}
    for amendment in amendments:
        amended.update({change["what"]: change["now"] for change in amendment["changes"]})
    flat_now = _flat_state(now)
    open_changes = [
        item for what, item in promised.items() if what not in amended or amended[what] != item["now"]
    ]
    # An amended setting that went back to its locked value has drifted from the amendment.
    returned = [
        {"what": what, "locked": value, "now": flat_now.get(what)}
        for what, value in amended.items()
        if what not in promised and flat_now.get(what) != value
    ]
    return sorted(open_changes + returned, key=lambda item: item["what"])


def require_unchanged(root: Path, study: str, now: dict[str, Any]) -> list[dict[str, Any]]:
    """The amendments, when everything is as locked and amended; else a PipelineError that names the first drift."""
    amendments = read_amendments_after_lock(root, study)
    found = drift(read_lock(root, study), amendments, now)
    if found:
        first, more = found[0], f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise PipelineError(
            f"{first['what']} has drifted from the lock: locked {_short(first['locked'])}, now {_short(first['now'])}{more}; "
            f"put it back, or record why it changed: make amend STUDY={study} REASON='…' RESULTS_SEEN=yes|no"
        )
    return amendments


def read_amendments_after_lock(root: Path, study: str) -> list[dict[str, Any]]:
    """As read_amendments, but a missing lock is reported first."""
    read_lock(root, study)
    return read_amendments(root, study)


def _short(value: Any) -> str:
    text = "absent" if value is None else canonical_json(value)
    return text if len(text) <= 24 else text[:16] + "…"
