"""YAML as people write it, read safely: no objects, no duplicate keys, and 1e-4 is a number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from workflow_scripts.common.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice and reads floats as YAML 1.2 does."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for position, key in enumerate(keys):
        if key in keys[:position]:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
# YAML 1.1 reads 1e-4 as text, because it wants a dot in a float.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str, where: str | Path) -> dict[str, Any]:
    """Parse a YAML mapping; anything else is a one-line ConfigError that names the file and the line."""
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader subclass
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{where}{line}: not valid YAML: {problem}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: must hold keys and values, found {type(value).__name__}")
    return value


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping from a file; errors name the file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse_yaml(text, path)
