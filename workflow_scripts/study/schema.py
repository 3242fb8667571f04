"""Read YAML that people wrote and check it against config/schema.yaml.

A mistake is a one-line ConfigError with the file, the key and the nearest valid word.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from workflow_scripts.core.errors import ConfigError, shorten

SCHEMA_PATH = Path(__file__).parents[2] / "config" / "schema.yaml"

_TYPE_NAMES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "keys and values",
    "null": "null",
}
_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


def _is_integer(_: Any, value: Any) -> bool:  # JSON Schema accepts 2000.0, range() does not
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_: Any, value: Any) -> bool:  # .nan and .inf cannot be written as JSON
    return _is_integer(_, value) or (isinstance(value, float) and math.isfinite(value))


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)


# Not CSafeLoader, which crashes on deep nesting instead of raising an error.
class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice and reads 1e-4 as a number, as YAML 1.2 does."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key, _ in node.value:
        name = str(key.value)
        if name in seen:
            problem = f"the key {name!r} is given twice"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        seen.add(name)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_text(path: str | Path) -> str:
    """Read a text file; ConfigError, naming the file, when that fails."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping from a file; errors as in `parse_yaml`."""
    return parse_yaml(read_text(path), path)


def parse_yaml(text: str, where: str | Path) -> dict[str, Any]:
    """Parse a YAML mapping; ConfigError, naming file and line, for anything else."""
    try:
        value = yaml.load(text, Loader=_Loader)
    except Exception as error:  # PyYAML raises nearly anything on a wrong tag
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error) or type(error).__name__
        raise ConfigError(f"{where}{line}: not valid YAML: {shorten(problem)}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: must hold keys and values, found {type(value).__name__}")
    return value


@cache
def _schema() -> dict[str, Any]:
    return read_yaml(SCHEMA_PATH)


@cache
def _validator(definition: str) -> jsonschema.Draft202012Validator:
    return _Validator({"$ref": f"#/$defs/{definition}", "$defs": _schema()["$defs"]})


def check(value: Any, definition: str, where: str | Path) -> None:
    """Raise a one-line ConfigError for the first mistake in `value`, checked against `$defs/<definition>`."""
    errors = sorted(
        _validator(definition).iter_errors(value), key=lambda error: list(map(str, error.absolute_path))
    )
    if errors:
        raise ConfigError(f"{where}: {_explain(errors[0])}")


@cache
def introduced_defaults() -> dict[str, Any]:
    """Map dotted keys to the values that the settings were introduced with, for locks that are older."""
    sections = {name: _schema()["$defs"][name] for name in _schema()["$defs"]["resolved"]["required"]}
    rules = {
        f"{section}.{key}": rule
        for section, content in sections.items()
        for key, rule in content.get("properties", {}).items()
    }
    return {key: rule["default"] for key, rule in (rules | sections).items() if "default" in rule}


def keys_of(section: str) -> list[str]:
    """The keys of a section that every object of it may have."""
    return list(_schema()["$defs"][section]["properties"])


def nearest(word: str, choices: Sequence[str]) -> str:
    """`did you mean …?` for a misspelt word, or the valid words when none is close."""
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(sorted(choices))}"


def _explain(error: jsonschema.ValidationError) -> str:
    key = ".".join(str(part) for part in error.absolute_path)
    below = f"{key}." if key else ""
    wanted, value = error.validator_value, shorten(repr(error.instance))
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        unknown = next(str(name) for name in error.instance if name not in known)
        if below + unknown in _schema()["moved"]:
            return f"{below}{unknown} {_schema()['moved'][below + unknown]}"
        return f"{shorten(below + unknown)} is not a known key; {nearest(shorten(unknown), known)}"
    if error.validator == "required":
        return f"{below}{next(name for name in wanted if name not in error.instance)} is missing"
    key = key or "the file"
    if error.validator == "not":
        return f"{key} has no place in a hypothesis of this kind; leave it out"
    if error.validator == "type":
        kinds = wanted if isinstance(wanted, list) else [wanted]
        return f"{key} is {value}, must be {' or '.join(_TYPE_NAMES[kind] for kind in kinds)}"
    if error.validator == "enum":
        choices = [str(choice) for choice in wanted]
        hint = nearest(shorten(error.instance), choices)
        return f"{key} is {value}; {hint} (one of {', '.join(choices)})"
    if error.validator in _LIMITS:
        return f"{key} is {value}, must be {_LIMITS[error.validator]} {wanted}"
    if error.validator == "pattern":
        return f"{key} is {value}, must match {wanted}"
    return f"{key}: {shorten(error.message)}"
