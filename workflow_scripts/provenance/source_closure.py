"""The source closure of an entry point: every module of the project that it imports, transitively, found by parsing.

Its digest is a rule parameter, so that a change in an imported helper runs the step again, which a workflow manager
does not see by itself. Comments, docstrings and formatting do not count: what is hashed is the syntax tree.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from workflow_scripts.common.errors import PipelineError

PACKAGE = "workflow_scripts"


def source_closure(root: Path, entry: str) -> tuple[str, ...]:
    """Paths, relative to `root` and sorted, of `workflow_scripts/<entry>.py` and all it imports from the project."""
    return tuple(sorted(_closure(root.resolve(), f"{PACKAGE}.{entry}")))


@cache
def source_digest(root: Path, entry: str) -> str:
    """sha256 over path and syntax tree, docstrings stripped, of every file in the source closure."""
    digest = hashlib.sha256()
    for path in source_closure(root, entry):
        digest.update(f"{path}\0{_read(root.resolve() / path)[1]}\0".encode())
    return digest.hexdigest()


def file_digests(root: Path, entry: str) -> dict[str, str]:
    """Path -> sha256 of the syntax tree, docstrings stripped, of every file in the source closure."""
    trees = {path: _read(root.resolve() / path)[1] for path in source_closure(root, entry)}
    return {path: hashlib.sha256(tree.encode()).hexdigest() for path, tree in trees.items()}


def _closure(root: Path, module: str) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        path = _file_of(root, name := waiting.pop())
        if path is None:
            if name == module:
                raise PipelineError(f"no module {module} below {root.name}; is the rule's entry point misspelt?")
            continue
        relative = path.relative_to(root).as_posix()
        if relative not in found:
            found.add(relative)
            waiting.extend(_read(path)[0])
    return found


def _file_of(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _read(path: Path) -> tuple[tuple[str, ...], str]:
    """The project modules that a file imports, and its meaning: the syntax tree without docstrings."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=path.name)
    except SyntaxError as error:
        raise PipelineError(f"{path.name}, line {error.lineno}: {error.msg}") from error
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import name`: name may be a module or something inside the package.
            names.extend([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
        elif isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
    ours = [name for name in names if name.split(".")[0] == PACKAGE]
    # Importing a.b.c also runs a/__init__.py and a/b/__init__.py.
    modules = {".".join(name.split(".")[:depth]) for name in ours for depth in range(1, name.count(".") + 2)}
    return tuple(sorted(modules)), ast.dump(tree)
