"""The packages that a step's numbers depend on. Their digest is a parameter of every rule.

What counts is the installed version of each package that the step's source closure imports and of all that
those require by the lock's `via` notes, and Python's minor version. See docs/architecture.md for exceptions.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json, sha256_text
from workflow_scripts.provenance.source_closure import is_own, source_closure, source_of, third_party_imports

LOCK = "envs/requirements.lock"
# Packages whose import name is not their distribution's name; a test compares this with what is installed.
_DISTRIBUTION = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
_ONE_MACHINE = ("nvidia-", "cuda-", "triton")
# What torch and others require to lock, download, show progress, check types or compile. Like packages for
# one kind of machine, which torch pins exactly, they count only if a step imports them.
_NO_NUMBERS = frozenset(
    [
        "filelock",
        "fsspec",
        "jinja2",
        "networkx",
        "requests",
        "setuptools",
        "sympy",
        "tqdm",
        "typing-extensions",
    ]
)


class _Locked(NamedTuple):
    version: str
    requires: set[str]


def code_of(root: Path, entry: str, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return `source` and `packages`, as a manifest has them, of the step with these settings."""
    loads = tuple(settings.get("loads", ()))
    return {"source": source_of(root, entry, loads), "packages": package_versions(root, entry, loads)}


@cache
def package_versions(root: Path, entry: str, modules: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return `versions` (name -> installed version, None if missing) of what counts for a step, and `digest`.

    `modules` are those that the step loads by name (see `source_closure`). Without a lock nothing is known:
    no versions, digest None. Raises PipelineError for an import that the lock does not hold.
    """
    locked = _lock(root)
    if not locked:
        return {"digest": None, "versions": {}}
    imported = {
        _distribution(name, path, locked)
        for path in source_closure(root, entry, modules)
        for name in third_party_imports(root, path)
    }
    others = (name for name in modules if not is_own(root, name))
    imported |= {_distribution(name.partition(".")[0], "the configuration", locked) for name in others}
    versions = {name: installed_version(name) for name in sorted(imported | _required(imported, locked))}
    versions["python"] = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"digest": sha256_text(canonical_json(versions)), "versions": versions}


def lock_differences(root: Path, names: Iterable[str]) -> list[str]:
    """Return one line for each of the named packages whose installed version is not the locked one."""
    locked = _lock(root)
    lines = []
    for name in sorted(set(names) & locked.keys()):
        now, then = installed_version(name), locked[name].version
        if now != then:
            lines.append(f"{name} {f'{now} is installed' if now else 'is missing'}, {LOCK} says {then}")
    return lines


def installed_version(name: str) -> str | None:
    """Return the installed public version of a distribution, None where it is missing."""
    return _dist_infos().get(name)


def _distribution(module: str, path: str, locked: dict[str, _Locked]) -> str:
    name = _normalised(_DISTRIBUTION.get(module, module))
    if name not in locked:
        raise PipelineError(
            f"{path} imports {module}, which {LOCK} lacks; add it to envs/requirements.in and run make relock"
        )
    return name


def _required(names: set[str], locked: dict[str, _Locked]) -> set[str]:
    """Everything that the named packages require, transitively, and that can change a number."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        for name in locked[waiting.pop()].requires - found - _NO_NUMBERS:
            if not name.startswith(_ONE_MACHINE):
                found.add(name)
                waiting.append(name)
    return found


@cache
def _lock(root: Path) -> dict[str, _Locked]:
    """Name -> version and requirements of every package in the lock, as pip-compile writes it."""
    path = root / LOCK
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    locked: dict[str, _Locked] = {}
    needed_by: dict[str, list[str]] = {}
    for entry in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE):
        if pinned := re.match(r"([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", entry):
            name = _normalised(pinned[1])
            locked[name] = _Locked(_public(pinned[2]), set())
            _, _, notes = entry.partition("# via")
            needed_by[name] = [_normalised(line.strip(" #")) for line in notes.splitlines()]
    for name, parents in needed_by.items():
        for parent in parents:
            if parent in locked:
                locked[parent].requires.add(name)
    return locked


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _public(version: str) -> str:
    return version.partition("+")[0]


@cache
def _dist_infos() -> dict[str, str]:
    """Name -> public version of what is installed, from the names of the `.dist-info` folders.

    This is 50 times faster than reading their metadata. Of two on the path the first counts, as it does for
    imports.
    """
    found: dict[str, str] = {}
    for folder in filter(os.path.isdir, sys.path):
        for child in os.listdir(folder):
            if match := re.fullmatch(r"([^-]+)-([^-]+)\.dist-info", child):
                found.setdefault(_normalised(match[1]), _public(match[2]))
    return found
