"""What two runs were made with: settings of every arm, source files and packages, as their manifests record them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workflow_scripts.report.tables import NONE, Table, setting_value

ABSENT = "absent"
EVERY_ARM = "every arm"
MAX_ENTRIES = 3
Lineages = Iterable[Mapping[str, Any]]


def settings_table(a: Mapping[str, Mapping[str, Any]], b: Mapping[str, Mapping[str, Any]]) -> Table:
    """The settings that differ; `a` and `b` hold flat settings by arm. One that differs alike in all arms is one row."""
    rows = [
        [arm, "the arm", "run" if arm in a else "not run", "run" if arm in b else "not run"]
        for arm in sorted(a.keys() ^ b.keys())
    ]
    shared = sorted(a.keys() & b.keys())
    for key in sorted({key for arm in shared for key in a[arm].keys() | b[arm].keys()}):
        pairs = {arm: (_value(a[arm], key), _value(b[arm], key)) for arm in shared}
        changed = {arm: pair for arm, pair in pairs.items() if pair[0] != pair[1]}
        if changed and len(set(pairs.values())) == 1 and len(shared) > 1:
            changed = {EVERY_ARM: next(iter(changed.values()))}
        rows += [[arm, key, *pair] for arm, pair in changed.items()]
    return {"columns": ["Arm", "Setting", "A", "B"], "rows": rows}


def _value(settings: Mapping[str, Any], key: str) -> str:
    return (setting_value(_sorted(settings[key])) or NONE) if key in settings else ABSENT


def _sorted(value: Any) -> Any:
    """Nested settings with their keys in one order: two files may spell the same setting differently."""
    if isinstance(value, Mapping):
        return {key: _sorted(item) for key, item in sorted(value.items())}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value


def code_table(a: Lineages, b: Lineages) -> Table:
    """The source files (by the sum of their syntax tree) that differ, each with steps that it is part of."""
    left, right = _files(a), _files(b)
    rows = []
    for path in sorted(left.keys() | right.keys()):
        here, there = left.get(path, {}), right.get(path, {})
        if here.keys() != there.keys():
            entries = sorted(
                {entry for digests in (here, there) for entries in digests.values() for entry in entries}
            )
            more = f" and {len(entries) - MAX_ENTRIES} more" if len(entries) > MAX_ENTRIES else ""
            rows.append([path, _sums(here), _sums(there), ", ".join(entries[:MAX_ENTRIES]) + more])
    return {"columns": ["Source file", "A", "B", "Part of"], "rows": rows}


def package_table(a: Lineages, b: Lineages) -> Table:
    """The packages whose versions differ."""
    left, right = _versions(a), _versions(b)
    rows = [
        [name, *(", ".join(sorted(side.get(name, {ABSENT}))) for side in (left, right))]
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    ]
    return {"columns": ["Package", "A", "B"], "rows": rows}


def _files(lineages: Lineages) -> dict[str, dict[str, set[str]]]:
    """Path -> sum -> entry points."""
    found: dict[str, dict[str, set[str]]] = {}
    for lineage in lineages:
        for path, digest in lineage["source"]["files"].items():
            found.setdefault(path, {}).setdefault(digest, set()).add(lineage["entry"])
    return found


def _versions(lineages: Lineages) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for lineage in lineages:
        for name, version in lineage["packages"]["versions"].items():
            found.setdefault(name, set()).add(str(version))
    return found


def _sums(digests: Mapping[str, Any]) -> str:
    return ", ".join(digest[:12] for digest in sorted(digests)) or ABSENT
