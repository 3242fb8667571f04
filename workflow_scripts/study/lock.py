"""The lock: what was promised before any result was seen, hashed; and the amendments made since.

The lock holds the sha256 of every preregistration and the resolved settings of every arm at the preregistered
preset. Amendments are lines appended to a file beside it. Each names the hash of the line before it, the
first that of the lock, so that none can be changed or dropped unseen. Settings of the machine (downloads,
weights files) are not locked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json, read_json, read_json_lines, sha256_lines, sha256_text
from workflow_scripts.study import schema
from workflow_scripts.study.config import Study, flatten, load_study
from workflow_scripts.study.preregistration import Preregistration, preregistered_preset

FORMAT = 1
MACHINE_KEYS = ("data.download", "extractor.weights")


def lock_path(study: str) -> str:
    return f"docs/experiments/{study}.lock.json"


def amendments_path(study: str) -> str:
    return f"docs/experiments/{study}.amendments.jsonl"


def current_state(root: Path, study: Study, preregistrations: list[Preregistration]) -> dict[str, Any]:
    """The content of a lock made now."""
    preset = preregistered_preset(preregistrations)
    full = study if study.preset == preset else load_study(root, study.name, preset)
    arms = {
        arm.name: {k: v for k, v in flatten(arm.settings).items() if k not in MACHINE_KEYS}
        | _network_of(full, arm.settings["method"].get("network"))
        | ({} if arm.seeds == full.seeds else {"seeds": list(arm.seeds)})
        for arm in full.arms
    }
    first, others = next(iter(arms.values())), list(arms.values())[1:]
    common = {k: v for k, v in first.items() if all(k in arm and arm[k] == v for arm in others)}
    own = {name: {k: v for k, v in arm.items() if k not in common} for name, arm in arms.items()}
    return {
        "format": FORMAT,
        "study": study.name,
        "preset": preset,
        "seeds": list(full.seeds),
        "preregistrations": {item.path: item.sha256 for item in preregistrations},
        "settings": {"every_arm": common, "arms": own},
    }


def _network_of(study: Study, name: str | None) -> dict[str, Any]:
    """What decides the network that an arm names, by dotted key; nothing for an arm that names none."""
    if name is None:
        return {}
    network = study.arm(name)
    parts = {part: network.settings[part] for part in ("method", "model", "diffusion", "loss", "training")}
    return flatten({"networks": {name: {"seed": network.seeds[0], **parts}}})


def read_lock(root: Path, study: str) -> dict[str, Any]:
    """The lock; PipelineError when it is missing, damaged or of another format."""
    path = root / lock_path(study)
    if not path.is_file():
        raise PipelineError(
            f"{lock_path(study)} is missing: the preregistration is not locked, so nothing is trained; "
            f"run: make lock STUDY={study}"
        )
    lock = read_json(path)
    schema.check(lock, "lock", f"{lock_path(study)} is damaged, restore it from git")
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
    previous = sha256_lines(root / lock_path(study))
    for number, amendment in enumerate(amendments, start=1):
        if amendment.get("previous_sha256") != previous:
            raise PipelineError(
                f"{amendments_path(study)}, line {number}: does not follow from the line before it: the "
                "lock or an earlier amendment was changed; restore both from git"
            )
        schema.check(
            amendment, "amendment", f"{amendments_path(study)}, line {number} is damaged, restore it from git"
        )
        previous = sha256_text(canonical_json(amendment))
    return amendments


def drift(
    lock: dict[str, Any], amendments: list[dict[str, Any]], now: dict[str, Any]
) -> list[dict[str, Any]]:
    """List what differs from the lock as amended: `{"what", "locked", "now"}` per key.

    `locked` is missing where the lock lacks the key, `now` where the configuration no longer has it. A
    setting younger than the lock may have the value that it was introduced with.
    """
    promised, found = _flat_state(lock), _flat_state(now)
    for amendment in amendments:
        for change in amendment["changes"]:
            promised.pop(change["what"], None)
            if "now" in change:
                promised[change["what"]] = change["now"]
    changes = []
    for what in sorted(promised.keys() | found.keys()):
        sides = {"locked": promised, "now": found}
        change = {side: values[what] for side, values in sides.items() if what in values}
        if not _as_promised(what, change):
            changes.append({"what": what, **change})
    return changes


def _as_promised(what: str, change: dict[str, Any]) -> bool:
    key, defaults = what.rpartition(": ")[2], schema.introduced_defaults()
    if "locked" not in change and key in defaults:
        return change["now"] == defaults[key]
    return len(change) == 2 and change["locked"] == change["now"]


def _flat_state(state: dict[str, Any]) -> dict[str, Any]:
    flat = {"preset": state["preset"], "seeds": state["seeds"]}
    flat.update({f"preregistration {path}": digest for path, digest in state["preregistrations"].items()})
    for arm, own in state["settings"]["arms"].items():
        for key, value in {**state["settings"]["every_arm"], **own}.items():
            flat[f"{arm}: {key}"] = value
    return flat


def require_unchanged(root: Path, study: str, now: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the amendments; PipelineError, naming the first drift, unless all is as locked and amended."""
    lock, amendments = read_lock(root, study), read_amendments(root, study)
    if found := drift(lock, amendments, now):
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
