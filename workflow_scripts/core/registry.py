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
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import ConfigError, shorten

ROOT = Path(__file__).parents[2]
# By the setting that names an object: the package of the built-in ones, and the first parameters of all.
PACKAGES = {"loss.weighting": "workflow_scripts.diffusion.weightings"}
PARAMETERS = {"loss.weighting": ("snr", "prediction_type")}


def known(setting: str) -> list[str]:
    """The names of the built-in objects for a setting, sorted."""
    return sorted(
        p.stem for p in ROOT.joinpath(*PACKAGES[setting].split(".")).glob("*.py") if p.stem[0] != "_"
    )


def module_of(setting: str, name: str) -> str:
    """The dotted module that holds an object, for the setting `loads`."""
    return _place(setting, name)[0]


def parameters_of(setting: str, name: str) -> tuple[str, ...]:
    """The names of an object's parameters, read from its source; nothing is imported.

    ConfigError if there is no such object, or it does not take the parameters that its setting wants first.
    """
    module, attribute = _place(setting, name)
    path = _source(module)
    if path is None:
        raise ConfigError(_refusal(setting, name, f"there is no module {module}"))
    try:
        body = ast.parse(path.read_text(encoding="utf-8")).body
    except SyntaxError as error:
        raise ConfigError(
            _refusal(setting, name, f"{path.name}, line {error.lineno}: {error.msg}")
        ) from error
    found = next((node for node in body if getattr(node, "name", None) == attribute), None)
    if isinstance(found, ast.ClassDef):
        found = next((node for node in found.body if getattr(node, "name", None) == "__init__"), None)
    if not isinstance(found, ast.FunctionDef):
        raise ConfigError(_refusal(setting, name, f"{module} defines no {attribute} that can be called"))
    taken = [argument.arg for argument in (*found.args.posonlyargs, *found.args.args, *found.args.kwonlyargs)]
    return _checked(setting, name, tuple(argument for argument in taken if argument != "self"))


def load(setting: str, name: str) -> Any:
    """Import an object; ConfigError, in one line, if that fails, or if it does not fit the setting."""
    module, attribute = _place(setting, name)
    try:
        found = getattr(importlib.import_module(module), attribute)
        parameters = tuple(inspect.signature(found).parameters)
    except Exception as error:  # importing runs the user's code
        raise ConfigError(_refusal(setting, name, shorten(f"{type(error).__name__}: {error}"))) from error
    _checked(setting, name, parameters)
    return found


def _place(setting: str, name: str) -> tuple[str, str]:
    module, colon, attribute = name.partition(":")
    return (module, attribute) if colon else (f"{PACKAGES[setting]}.{name}", name)


def _source(module: str) -> Path | None:
    """The file of a module: in the project, or else of an installed package."""
    base = ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    try:
        origin = getattr(importlib.util.find_spec(module), "origin", None)
    except (ImportError, ValueError):
        return None
    return Path(origin) if origin and origin.endswith(".py") else None


def _checked(setting: str, name: str, parameters: tuple[str, ...]) -> tuple[str, ...]:
    expected = PARAMETERS[setting]
    if parameters[: len(expected)] != expected:
        raise ConfigError(_refusal(setting, name, f"it takes ({', '.join(parameters)})"))
    return parameters


def _refusal(setting: str, name: str, problem: str) -> str:
    near = difflib.get_close_matches(name, known(setting), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"built in are {', '.join(known(setting))}"
    wanted = f"one's own is package.module:name, called with ({', '.join(PARAMETERS[setting])}, …)"
    return f"{setting} {shorten(name)} cannot be used: {problem}; {hint}; {wanted}"
