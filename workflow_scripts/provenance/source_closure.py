"""The source closure of an entry point: every module of the project that it imports, transitively, found by parsing.

Its digest is a rule parameter, so that a change in an imported helper runs the step again, which a workflow manager
does not see by itself. Comments, docstrings and formatting do not count: what is hashed is the syntax tree.

A module that a step loads by name (one figure of many) stands in no import statement. Its rule names it in the setting
`loads`, a list of dotted names below the package, and it is part of the closure as if the entry point imported it.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError

PACKAGE = "workflow_scripts"


def loaded_modules(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules that a step with these settings loads by name."""
    return tuple(settings.get("loads", ()))


def source_closure(root: Path, entry: str, modules: Iterable[str] = ()) -> tuple[str, ...]:
    """Paths, relative to `root` and sorted, of `workflow_scripts/steps/<entry>.py` and all it imports from the project.

    `modules` are loaded by name: `report.figures.sample_grid`. PipelineError when one of them or the entry does not exist.
    """
    return _closure(root.resolve(), entry, tuple(modules))


def source_digest(root: Path, entry: str, modules: Iterable[str] = ()) -> str:
    """sha256 over path and syntax tree, docstrings stripped, of every file in the source closure."""
    return _digest(root.resolve(), entry, tuple(modules))


@cache
def _digest(root: Path, entry: str, modules: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in source_closure(root, entry, modules):
        digest.update(f"{path}\0{_read(root / path)[1]}\0".encode())
    return digest.hexdigest()


def file_digests(root: Path, entry: str, modules: Iterable[str] = ()) -> dict[str, str]:
    """Path -> sha256 of the syntax tree, docstrings stripped, of every file in the source closure."""
    trees = {path: _read(root.resolve() / path)[1] for path in source_closure(root, entry, modules)}
    return {path: hashlib.sha256(tree.encode()).hexdigest() for path, tree in trees.items()}


def third_party_imports(root: Path, path: str) -> tuple[str, ...]:
    """Top-level names of the packages that a file imports when it runs: not ours, not Python's own."""
    return _read(root.resolve() / path)[2]


def forget() -> None:
    """Read the files anew: for tests, and whoever changes code while it runs."""
    for cached in (_digest, _closure, _read):
        cached.cache_clear()


@cache
def _closure(root: Path, entry: str, modules: tuple[str, ...]) -> tuple[str, ...]:
    found: set[str] = set()
    named = [f"{PACKAGE}.steps.{entry}", *(f"{PACKAGE}.{name}" for name in modules)]
    # Importing a.b.c also runs a/__init__.py and a/b/__init__.py.
    waiting = [*named, *(package for name in named for package in _packages_of(name))]
    while waiting:
        path = _file_of(root, name := waiting.pop())
        if path is None:
            if name in named:
                raise PipelineError(
                    f"no module {name} below {root.name}; is the rule's entry point misspelt?"
                )
            continue
        relative = path.relative_to(root).as_posix()
        if relative not in found:
            found.add(relative)
            waiting.extend(_read(path)[0])
    return tuple(sorted(found))


def _packages_of(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def _file_of(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _read(path: Path) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """The project modules that a file imports; its meaning, the syntax tree without docstrings; packages it imports."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=path.name)
    except SyntaxError as error:
        raise PipelineError(f"{path.name}, line {error.lineno}: {error.msg}") from error
    names: list[str] = []
    for_type_checkers: set[ast.AST] = set()
    third_party: set[str] = set()
    for node in ast.walk(tree):
        imported: list[str] = []
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import name`: name may be a module or something inside the package.
            imported = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for_type_checkers |= {inner for statement in node.body for inner in ast.walk(statement)}
        elif isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
        names += imported
        if node not in for_type_checkers:
            third_party |= {name.split(".")[0] for name in imported}
    ours = [name for name in names if name.split(".")[0] == PACKAGE]
    modules = {module for name in ours for module in (*_packages_of(name), name)}
    others = third_party - {PACKAGE, *sys.stdlib_module_names}
    return tuple(sorted(modules)), ast.dump(tree), tuple(sorted(others))
