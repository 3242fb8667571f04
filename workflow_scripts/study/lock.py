"""The lock: what was promised before any result was seen, hashed; and the amendments made since.

The lock holds the sha256 of every preregistration and the resolved settings of every arm at the preregistered
preset. Amendments are lines appended to a file beside it. Each names the hash of the line before it, the
first that of the lock, so that none can be changed or dropped unseen. Settings of the machine (downloads,
weights files) are not locked.
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
    """Path of a study's lock, relative to the project."""
    return f"docs/experiments/{study}.lock.json"


def amendments_path(study: str) -> str:
    """Path of a study's amendments, relative to the project."""
    return f"docs/experiments/{study}.amendments.jsonl"


def current_state(root: Path, study: Study, preregistrations: list[Preregistration]) -> dict[str, Any]:
    """The content of a lock made now."""
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


def read_lock(root: Path, study: str) -> dict[str, Any]:
    """The lock; PipelineError when it is missing, damaged or of another format."""
    path = root / lock_path(study)
    if not path.is_file():
        raise PipelineError(
            f"{lock_path(study)} is missing: the preregistration is not locked, so nothing is trained; "
            f"run: make lock STUDY={study}"
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
                f"{amendments_path(study)}, line {number}: does not follow from the line before it: the "
                "lock or an earlier amendment was changed; restore both from git"
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
    """What differs from the lock as amended, `{"what", "locked", "now"}` per key; empty when nothing does.

    `locked` is left out where the lock has no such key, and `now` where the configuration has none any more.
    A setting younger than the lock is as promised while it has the value that it was introduced with.
    """
    promised, found = _flat_state(lock), _flat_state(now)
    for amendment in amendments:
        for change in amendment["changes"]:
            promised.pop(change["what"], None)
            if "now" in change:
                promised[change["what"]] = change["now"]
    changes = []
    for what in sorted(promised.keys() | found.keys()):
        change = {"what": what}
        change |= {"locked": promised[what]} if what in promised else {}
        change |= {"now": found[what]} if what in found else {}
        if not _as_promised(change):
            changes.append(change)
    return changes


def _as_promised(change: dict[str, Any]) -> bool:
    if "now" not in change:
        return False
    if "locked" in change:
        return change["locked"] == change["now"]
    defaults, key = schema.introduced_defaults(), change["what"].rpartition(": ")[2]
    return key in defaults and defaults[key] == change["now"]


def _flat_state(state: dict[str, Any]) -> dict[str, Any]:
    flat = {"preset": state["preset"], "seeds": state["seeds"]}
    flat.update({f"preregistration {path}": digest for path, digest in state["preregistrations"].items()})
    for arm, own in state["settings"]["arms"].items():
        for key, value in {**state["settings"]["every_arm"], **own}.items():
            flat[f"{arm}: {key}"] = value
    return flat


def require_unchanged(root: Path, study: str, now: dict[str, Any]) -> list[dict[str, Any]]:
    """The amendments, when all is as locked and amended; otherwise a PipelineError names the first drift."""
    lock = read_lock(root, study)
    amendments = read_amendments(root, study)
    found = drift(lock, amendments, now)
    if found:
        first, more = found[0], f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise PipelineError(
            f"{first['what']} has drifted from the lock: locked {_short(first, 'locked')}, "
            f"now {_short(first, 'now')}{more}; put it back, or record why it changed: "
            f"make amend STUDY={study} REASON='…' RESULTS_SEEN=yes|no"
        )
    return amendments


def _short(change: dict[str, Any], side: str) -> str:
    text = canonical_json(change[side]) if side in change else "absent"
    return text if len(text) <= 24 else text[:16] + "…"
