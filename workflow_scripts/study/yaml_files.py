"""YAML as people write it, read safely: no objects, no duplicate keys, no bombs, and 1e-4 is a number."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from workflow_scripts.core.errors import ConfigError, shorten

MAX_BYTES = 2**18  # the largest file of ours has a few thousand
MAX_NODES = 100_000  # aliases counted as often as they are used: ten lines of them can stand for billions
# Control characters and halves of characters (surrogates).
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# What PyYAML raises on a text that it cannot make sense of; a wrong explicit tag gives the last three.
_MISTAKES = (
    yaml.YAMLError,
    ValueError,
    TypeError,
    RecursionError,
    LookupError,
    AttributeError,
    OverflowError,
)


# Not CSafeLoader, which would save planning half a second: it crashes on deep nesting instead of raising an error.
class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice and reads floats as YAML 1.2 does."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    seen = set()
    for key in keys:
        if key in seen:  # TypeError for a list or a mapping as a key
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is given twice", node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    value = loader.construct_yaml_str(node)
    found = _UNPRINTABLE.search(value)
    if found:  # only an escape such as "\\0" can bring one in; no SVG, path or log can hold it
        raise yaml.constructor.ConstructorError(
            None, None, f"the text holds the character {found[0]!r}", node.start_mark
        )
    return value


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    value = loader.construct_yaml_float(node)
    if not math.isfinite(value):
        raise yaml.constructor.ConstructorError(
            None, None, f"{node.value} is no finite number", node.start_mark
        )
    return value


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor("tag:yaml.org,2002:str", _text)
# YAML 1.1 reads 1e-4 as text, because it wants a dot in a float.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def parse_yaml(text: str, where: str | Path) -> dict[str, Any]:
    """Parse a YAML mapping; anything else is a one-line ConfigError that names the file and the line."""
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{where}: has {len(text):,} characters, more than the {MAX_BYTES:,} allowed")
    try:
        value = yaml.load(text, Loader=_Loader)
    except _MISTAKES as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error) or type(error).__name__
        raise ConfigError(f"{where}{line}: not valid YAML: {shorten(problem)}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: must hold keys and values, found {type(value).__name__}")
    if _num_nodes(value, {}) > MAX_NODES:
        raise ConfigError(
            f"{where}: its aliases (*name) stand for more than {MAX_NODES:,} values; write them out"
        )
    return value


def _num_nodes(value: Any, known: dict[int, int]) -> int:
    """How many values `value` holds when every alias is written out; each is walked once."""
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if id(value) not in known:
        known[id(value)] = 1 + sum(
            _num_nodes(item, known) for item in (value.values() if isinstance(value, dict) else value)
        )
    return known[id(value)]


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping from a file; errors name the file."""
    try:
        with open(path, encoding="utf-8") as handle:
            text = handle.read(MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse_yaml(text, path)
