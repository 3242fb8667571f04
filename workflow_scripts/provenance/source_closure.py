"""The source closure of an entry point: all modules of the project that it imports, found by parsing.

Its digest is a parameter of the rule, because Snakemake does not notice a change in an imported module. The
digest covers syntax trees, so comments, docstrings and formatting do not count.

A step that loads a module by name (one figure of many, a user's own loss) has no import statement for it. Its
rule lists such modules in the setting `loads`, and they count as if the entry point imported them: those of
the project by their source, others by their package's version.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_text

PACKAGE = "workflow_scripts"
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class _Source(NamedTuple):
    modules: tuple[str, ...]  # the modules that the file imports, the project's and others
    packages: tuple[str, ...]  # the third-party packages that it imports when it runs
    sha256: str  # of the syntax tree without docstrings


@cache
def source_of(root: Path, entry: str, modules: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return `files` of the source closure (path -> sha256 of its syntax tree) and a `digest` of them all."""
    files = {path: _read(root, root / path).sha256 for path in source_closure(root, entry, modules)}
    return {
        "digest": sha256_text("".join(f"{path}\0{sha256}\0" for path, sha256 in files.items())),
        "files": files,
    }


def third_party_imports(root: Path, path: str) -> tuple[str, ...]:
    """Return the third-party packages that a file imports when it runs."""
    return tuple(name for name in _read(root, root / path).packages if not is_own(root, name))


@cache
def source_closure(root: Path, entry: str, modules: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the sorted paths, relative to `root`, of steps/<entry>.py and of all that it imports.

    `modules` are loaded by name: `workflow_scripts.report.figures.sample_grid`. Raises PipelineError if the
    entry or one of the project's modules is missing.
    """
    found: set[str] = set()
    named = [f"{PACKAGE}.steps.{entry}", *(name for name in modules if is_own(root, name))]
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
            waiting.extend(_read(root, path).modules)
    return tuple(sorted(found))


def is_own(root: Path, module: str) -> bool:
    """Whether a module belongs to the project: its first part is a folder or a file of the root."""
    first = root / module.partition(".")[0]
    return first.is_dir() or first.with_suffix(".py").is_file()


def _with_packages(module: str) -> list[str]:
    """The module and the packages around it: importing a.b.c also runs a/__init__.py and a/b/__init__.py."""
    parts = module.split(".")
    return [".".join(parts[: depth + 1]) for depth in range(len(parts))]


def _file_of(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _read(root: Path, path: Path) -> _Source:
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
        elif isinstance(node, ast.ImportFrom):
            folders = path.relative_to(root).parent.parts
            package = folders[: len(folders) - node.level + 1] if node.level else ()  # of a relative import
            module = ".".join([*package, *filter(None, [node.module])])
            # in `from package import name`, the name may be a module or something inside the package
            imported = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for_type_checkers |= {inner for statement in node.body for inner in ast.walk(statement)}
        elif isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        names.update(imported)
        if node not in for_type_checkers:
            at_run_time.update(name.partition(".")[0] for name in imported)
    others = sys.stdlib_module_names
    modules = {m for name in names if name.partition(".")[0] not in others for m in _with_packages(name)}
    packages = at_run_time - {PACKAGE, *others}
    return _Source(tuple(sorted(modules)), tuple(sorted(packages)), sha256_text(ast.dump(tree)))
