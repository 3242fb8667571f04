"""Which packages a step's numbers depend on, in which installed versions; their digest is a parameter of every rule.

Policy, what counts:

- what the step's source closure imports (imports for type checkers left out), and what those packages require, all the
  way down, by the lock's `via` notes; and Python's own minor version;
- of each, the version that is **installed**, since that is what computes. Two versions are compatible when they are the
  same public version: `2.12.1+cpu` is `2.12.1`. Any other difference counts, a bug fix too: it may fix a number.

What does not count: packages that serve one kind of machine (`nvidia-…`, `cuda-…`, `triton`: torch pins them exactly);
and packages that only lock, download, type or show progress (`_AROUND_NUMBERS`), unless the step imports them itself.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json, sha256_text
from workflow_scripts.provenance.source_closure import source_closure, third_party_imports
from workflow_scripts.provenance.surroundings import version_of

LOCK = "envs/requirements.lock"
# What is imported under another name than it is installed by; a test compares this with what is installed.
_DISTRIBUTION = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
_ONE_MACHINE = ("nvidia-", "cuda-", "triton")
# The first line torch needs only to compile, which no step does; the second computes nothing.
_AROUND_NUMBERS = frozenset(
    [
        "jinja2",
        "markupsafe",
        "mpmath",
        "networkx",
        "setuptools",
        "sympy",
        "certifi",
        "charset-normalizer",
        "filelock",
        "fsspec",
        "idna",
        "requests",
        "tqdm",
        "typing-extensions",
        "urllib3",
    ]
)


def package_versions(root: Path, entry: str, modules: Iterable[str] = ()) -> dict[str, Any]:
    """`versions`, name -> installed version (None where it is not), of all that counts for a step; `digest` of them.

    `modules` are those that the step loads by name (see `source_closure`). Where the project has no lock, nothing is
    known: no versions, digest None. PipelineError names an import that the lock does not hold.
    """
    return _versions(root.resolve(), entry, tuple(modules))


@cache
def _versions(root: Path, entry: str, modules: tuple[str, ...]) -> dict[str, Any]:
    requires = _requirements(root)
    if not requires:
        return {"digest": None, "versions": {}}
    own = {
        _distribution(name, path, requires)
        for path in source_closure(root, entry, modules)
        for name in third_party_imports(root, path)
    }
    versions = {name: _installed(name) for name in sorted(own | _counting(own, requires))}
    versions["python"] = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"digest": sha256_text(canonical_json(versions)), "versions": versions}


def lock_differences(root: Path, versions: Iterable[str]) -> list[str]:
    """One line for each of the named packages whose installed version is not the locked one."""
    locked = _locked(root.resolve())
    pairs = [(name, _installed(name), locked[name]) for name in sorted(set(versions) & locked.keys())]
    return [
        f"{name} {now or 'is missing'}{' is installed' if now else ''}, {LOCK} says {then}"
        for name, now, then in pairs
        if now != then
    ]


def _distribution(module: str, path: str, requires: dict[str, set[str]]) -> str:
    name = _normalised(_DISTRIBUTION.get(module, module))
    if name not in requires:
        raise PipelineError(
            f"{path} imports {module}, which {LOCK} does not hold; add it to envs/requirements.in and run make relock"
        )
    return name


def _counting(names: set[str], requires: dict[str, set[str]]) -> set[str]:
    """All that the named packages require, transitively, and that can change a number."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        for name in requires.get(waiting.pop(), ()):
            if name not in found and name not in _AROUND_NUMBERS and not name.startswith(_ONE_MACHINE):
                found.add(name)
                waiting.append(name)
    return found


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _public(version: str) -> str:
    return version.partition("+")[0]


@cache
def _lock_entries(root: Path) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """(name, version, what it is there for) of every package in the lock, as pip-compile writes it."""
    path = root / LOCK
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = []
    for entry in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE):
        if pinned := re.match(r"([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", entry):
            _, _, notes = entry.partition("# via")
            needed_by = tuple(line.strip(" #") for line in notes.splitlines() if line.strip(" #"))
            found.append((_normalised(pinned[1]), _public(pinned[2]), needed_by))
    return tuple(found)


def _locked(root: Path) -> dict[str, str]:
    return {name: version for name, version, _ in _lock_entries(root)}


def _requirements(root: Path) -> dict[str, set[str]]:
    """Name of every locked package -> names of the locked packages it requires."""
    requires: dict[str, set[str]] = {name: set() for name, _, _ in _lock_entries(root)}
    for name, _, needed_by in _lock_entries(root):
        for parent in needed_by:
            if (parent := _normalised(parent)) in requires:
                requires[parent].add(name)
    return requires


@cache
def _installed(name: str) -> str | None:
    return _public(found) if (found := _dist_infos().get(name) or version_of(name)) else None


@cache
def _dist_infos() -> dict[str, str]:
    """Name -> version of what is installed, from the names of the `.dist-info` folders, which is 50 times faster than
    reading their metadata; of two on the path the first counts, as it does for imports."""
    found: dict[str, str] = {}
    for folder in filter(os.path.isdir, sys.path):
        for child in os.listdir(folder):
            if match := re.fullmatch(r"([^-]+)-([^-]+)\.dist-info", child):
                found.setdefault(_normalised(match[1]), match[2])
    return found
