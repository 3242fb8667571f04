"""Checking what people wrote against config/schemas/settings.yaml; one line per mistake, with the nearest valid key."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from workflow_scripts.core.errors import ConfigError, shorten
from workflow_scripts.study.yaml_files import read_yaml

SCHEMA_PATH = Path(__file__).parents[2] / "config" / "schemas" / "settings.yaml"

_TYPE_NAMES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "keys and values",
    "null": "null",
}

# JSON Schema takes 2000.0 for an integer; Python's range does not.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda checker, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


@cache
def _validator(definition: str) -> jsonschema.Draft202012Validator:
    return _Validator({"$ref": f"#/$defs/{definition}", "$defs": _definitions()})


@cache
def _definitions() -> dict[str, Any]:
    return read_yaml(SCHEMA_PATH)["$defs"]


def check(value: Any, definition: str, where: str | Path) -> None:
    """Raise a one-line ConfigError for the first mistake in `value`, checked against `$defs/<definition>`."""
    errors = sorted(
        _validator(definition).iter_errors(value), key=lambda error: list(map(str, error.absolute_path))
    )
    if errors:
        raise ConfigError(f"{where}: {_explain(errors[0])}")


def nearest(word: str, choices: Sequence[str]) -> str:
    """`did you mean …?` for a misspelt word, or the list of what is valid when nothing is close."""
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(sorted(choices))}"


def _explain(error: jsonschema.ValidationError) -> str:
    key = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        unknown = next(str(name) for name in error.instance if name not in error.schema["properties"])
        full = _short(f"{key}.{unknown}" if key else unknown, str)
        return f"{full} is not a known key; {nearest(_short(unknown, str), list(error.schema['properties']))}"
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        return f"{key}.{missing} is missing" if key else f"{missing} is missing"
    key = key or "the file"
    if error.validator == "type":
        wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        return (
            f"{key} is {_short(error.instance)}, must be {' or '.join(_TYPE_NAMES[name] for name in wanted)}"
        )
    if error.validator == "enum":
        choices = [str(choice) for choice in error.validator_value]
        return f"{key} is {_short(error.instance)}; {nearest(_short(error.instance, str), choices)} (one of {', '.join(choices)})"
    limits = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    if error.validator in limits:
        return f"{key} is {_short(error.instance)}, must be {limits[error.validator]} {error.validator_value}"
    if error.validator == "pattern":
        return f"{key} is {_short(error.instance)}, must match {error.validator_value}"
    return f"{key}: {_short(error.message, str)}"


def _short(value: Any, spell: Callable[[Any], str] = repr) -> str:
    """A value on one line that a message can hold."""
    try:
        return shorten(spell(value))
    except ValueError:  # a whole number of more digits than Python prints
        return "a number of thousands of digits"
