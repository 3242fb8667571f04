"""The source closure of an entry point: all modules of the project that it imports, found by parsing.

Its digest is a parameter of the rule, because Snakemake does not notice a change in an imported module. The
digest covers syntax trees, so comments, docstrings and formatting do not count.

A step that loads a module by name (one figure of many) has no import statement for it. Its rule lists such
modules in the setting `loads`, as dotted names below the package, and they count as if the entry point
imported them.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from workflow_scripts.core.errors import PipelineError

PACKAGE = "workflow_scripts"
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class _Source(NamedTuple):
    modules: tuple[str, ...]  # the project's modules that the file imports
    packages: tuple[str, ...]  # the third-party packages that it imports when it runs
    sha256: str  # of the syntax tree without docstrings


def loaded_modules(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the modules that a step with these settings loads by name."""
    return tuple(settings.get("loads", ()))


def source_closure(root: Path, entry: str, modules: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the sorted paths, relative to `root`, of steps/<entry>.py and of all that it imports.

    `modules` are loaded by name: `report.figures.sample_grid`. Raises PipelineError where the entry or one of
    them is missing.
    """
    return _closure(root.resolve(), entry, tuple(modules))


def file_digests(root: Path, entry: str, modules: Iterable[str] = ()) -> dict[str, str]:
    """Map each file of the source closure to the sha256 of its syntax tree."""
    root = root.resolve()
    return {path: _read(root / path).sha256 for path in _closure(root, entry, tuple(modules))}


def source_digest(root: Path, entry: str, modules: Iterable[str] = ()) -> str:
    """Return one sha256 over the paths and syntax trees of the source closure."""
    return _digest(root.resolve(), entry, tuple(modules))


def third_party_imports(root: Path, path: str) -> tuple[str, ...]:
    """Return the third-party packages that a file imports when it runs."""
    return _read(root.resolve() / path).packages


def forget() -> None:
    """Drop all caches; for code that changes source files while it runs, such as tests."""
    for cached in (_digest, _closure, _read):
        cached.cache_clear()


@cache
def _digest(root: Path, entry: str, modules: tuple[str, ...]) -> str:
    files = file_digests(root, entry, modules)
    return hashlib.sha256(
        "".join(f"{path}\0{sha256}\0" for path, sha256 in files.items()).encode()
    ).hexdigest()


@cache
def _closure(root: Path, entry: str, modules: tuple[str, ...]) -> tuple[str, ...]:
    found: set[str] = set()
    named = [f"{PACKAGE}.steps.{entry}", *(f"{PACKAGE}.{name}" for name in modules)]
    waiting = [module for name in named for module in _with_packages(name)]
    while waiting:
        path = _file_of(root, name := waiting.pop())
        if path is None:
            if name in named:
                raise PipelineError(f"no module {name} below {root.name}; correct the name in the rule")
            continue
        relative = path.relative_to(root).as_posix()
        if relative not in found:
            found.add(relative)
            waiting.extend(_read(path).modules)
    return tuple(sorted(found))


def _with_packages(module: str) -> list[str]:
    """The module and the packages around it: importing a.b.c also runs a/__init__.py and a/b/__init__.py."""
    parts = module.split(".")
    return [".".join(parts[: depth + 1]) for depth in range(len(parts))]


def _file_of(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _read(path: Path) -> _Source:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=path.name)
    except SyntaxError as error:
        raise PipelineError(f"{path.name}, line {error.lineno}: {error.msg}") from error
    names: set[str] = set()
    at_run_time: set[str] = set()
    for_type_checkers: set[ast.AST] = set()
    for node in ast.walk(tree):
        imported: list[str] = []
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # in `from package import name`, the name may be a module or something inside the package
            imported = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for_type_checkers |= {inner for statement in node.body for inner in ast.walk(statement)}
        elif isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        names.update(imported)
        if node not in for_type_checkers:
            at_run_time.update(name.partition(".")[0] for name in imported)
    ours = (name for name in names if name.partition(".")[0] == PACKAGE)
    modules = {module for name in ours for module in _with_packages(name)}
    packages = at_run_time - {PACKAGE, *sys.stdlib_module_names}
    sha256 = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return _Source(tuple(sorted(modules)), tuple(sorted(packages)), sha256)
