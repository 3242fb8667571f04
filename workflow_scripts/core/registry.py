"""Objects that the configuration names: built-in ones by a short name, a user's own as `package.module:name`.

A built-in lies in a module of its own and has the module's name. Modules are loaded by name, and rules list
them in the setting `loads`: adding or editing one reruns only what uses it (provenance/source_closure.py).
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
from functools import cache
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import ConfigError, shorten

ROOT = Path(__file__).parents[2]
# By the setting that names an object: the package of the built-in ones, and the first parameters of all.
PACKAGES = {
    "data.source": "workflow_scripts.data",
    "loss.weighting": "workflow_scripts.diffusion.weightings",
    "model.name": "workflow_scripts.nets.networks",
    "method.discriminator.name": "workflow_scripts.nets.networks",
    "method.name": "workflow_scripts.methods",
    "metrics": "workflow_scripts.metrics.measures",
    "sections": "workflow_scripts.report.sections",
}
PARAMETERS = {
    "data.source": ("root",),
    "loss.weighting": ("snr", "prediction_type"),
    "model.name": ("channels", "image_size"),
    "method.discriminator.name": ("channels", "image_size"),
    "method.name": ("settings",),
    "metrics": (),
    "sections": ("context", "setting"),
}
# The built-in object of a module is a class named after it, not a function of its name.
CLASSES = ("method.name",)
# Built-in dataset sources share modules (data/prepare.py).
SOURCES = ["cifar10", "digits", "digits_stacked", "image_folder", "mnist", "mnist_stacked"]


def known(setting: str) -> list[str]:
    """The names of the built-in objects for a setting, sorted."""
    if setting == "data.source":
        return SOURCES
    package = ROOT.joinpath(*PACKAGES[setting].split("."))
    return sorted(path.stem for path in package.glob("*.py") if path.stem[0] != "_")


def module_of(setting: str, name: str) -> str:
    """The dotted module that holds an object, for the setting `loads`."""
    return _place(setting, name)[0]


def parameters_of(setting: str, name: str) -> dict[str, bool]:
    """Map an object's parameters to whether they need a value, read from its source; nothing is imported.

    ConfigError if there is no such object, or it does not take the parameters that its setting wants first.
    """
    module, attribute = _place(setting, name)
    found = _found(setting, name)
    if isinstance(found, ast.ClassDef):
        found = next((node for node in found.body if getattr(node, "name", None) == "__init__"), None)
    if not isinstance(found, ast.FunctionDef):
        raise ConfigError(_refusal(setting, name, f"{module} defines no {attribute} that can be called"))
    given = [*found.args.posonlyargs, *found.args.args]
    needed = len(given) - len(found.args.defaults)
    taken = {argument.arg: number < needed for number, argument in enumerate(given)}
    taken |= {only.arg: not value for only, value in zip(found.args.kwonlyargs, found.args.kw_defaults)}
    taken.pop("self", None)
    _check(setting, name, tuple(taken))
    return taken


def constant_of(setting: str, name: str, constant: str, *default: Any) -> Any:
    """A constant of an object's class or module, read from its source; else `default`, or ConfigError."""
    found, path = _found(setting, name), source_path(module_of(setting, name))
    module = _statements(path, path.stat().st_mtime_ns) if path else []
    for node in [*getattr(found, "body", ()), *module]:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == constant:
            return ast.literal_eval(node.value)
    if default:
        return default[0]
    raise ConfigError(_refusal(setting, name, f"it has no {constant}"))


def load(setting: str, name: str) -> Any:
    """Import an object; ConfigError, in one line, if that fails, or if it does not fit the setting."""
    module, attribute = _place(setting, name)
    try:
        found = getattr(importlib.import_module(module), attribute)
        parameters = tuple(inspect.signature(found).parameters)
    except Exception as error:  # importing runs the user's code
        raise ConfigError(_refusal(setting, name, shorten(f"{type(error).__name__}: {error}"))) from error
    _check(setting, name, parameters)
    return found


def _place(setting: str, name: str) -> tuple[str, str]:
    module, colon, attribute = name.partition(":")
    built_in = name.title().replace("_", "") if setting in CLASSES else name
    return (module, attribute) if colon else (f"{PACKAGES[setting]}.{name}", built_in)


def _found(setting: str, name: str) -> ast.AST | None:
    try:
        return _definition(*_place(setting, name))
    except (ImportError, SyntaxError, ValueError) as error:
        raise ConfigError(_refusal(setting, name, shorten(error))) from error


def _definition(module: str, attribute: str) -> ast.AST | None:
    """The syntax tree of a module's function or class, in the module that it is imported from."""
    path = source_path(module)
    if path is None:
        raise ImportError(f"there is no module {module}")
    for node in _statements(path, path.stat().st_mtime_ns):
        if getattr(node, "name", None) == attribute:
            return node
        names = node.names if isinstance(node, ast.ImportFrom) else ()
        for alias in (alias for alias in names if attribute == (alias.asname or alias.name)):
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            return _definition(origin, alias.name)
    return None


@cache
def _statements(path: Path, mtime_ns: int) -> list[ast.stmt]:
    """What a file's syntax tree holds; planning asks for the same files a thousand times."""
    return ast.parse(path.read_text(encoding="utf-8"), path).body


def source_path(module: str) -> Path | None:
    """The file of a module: in the project, or else of an installed package, which is not imported."""
    first, *rest = module.split(".")
    spec = importlib.util.find_spec(first)
    for folder in (ROOT / first, *map(Path, getattr(spec, "submodule_search_locations", None) or ())):
        base = folder.joinpath(*rest)
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
    origin = getattr(spec, "origin", None)
    return Path(origin) if not rest and origin and origin.endswith(".py") else None


def _check(setting: str, name: str, parameters: tuple[str, ...]) -> None:
    expected = PARAMETERS[setting]
    if parameters[: len(expected)] != expected:
        raise ConfigError(_refusal(setting, name, f"it takes ({', '.join(parameters)})"))


def _refusal(setting: str, name: str, problem: str) -> str:
    near = difflib.get_close_matches(name, known(setting), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"built in are {', '.join(known(setting))}"
    wanted = f"one's own is package.module:name, called with ({', '.join([*PARAMETERS[setting], '…'])})"
    return f"{setting} {shorten(name)} cannot be used: {problem}; {hint}; {wanted}"
