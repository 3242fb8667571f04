"""Which run a file belongs to, as the file itself says: figures, the verdict and the report carry the sum of their lineage.

A PNG has it in a text chunk, an SVG in its RDF metadata (`report/style.py` writes both), so that a figure found on a slide
leads back to its run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from workflow_scripts.core.files import canonical_json

# The name of the PNG's text chunk; in an SVG the same text is the Dublin Core description.
CHUNK = "provenance"
_DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"


def identity_text(
    input_lineage_sha256: str | None, report: Mapping[str, Any], rule: str | None, figure: str
) -> str:
    """What a figure says of itself, as canonical JSON: study, preset, rule, figure, and the sum of its lineage."""
    return canonical_json(
        {
            "figure": figure,
            "input_lineage_sha256": input_lineage_sha256,
            "preset": report["preset"],
            "rule": rule,
            "study": report["study"],
        }
    )


def embedded_identity(path: Path) -> dict[str, Any]:
    """What a figure (.png, .svg), a verdict (.json) or a report (.html) says of itself; empty when it says nothing.

    A damaged file says nothing: its sum, not this function, tells that it is damaged.
    """
    try:
        return _READERS.get(path.suffix, lambda _: {})(path)
    except (OSError, ValueError, SyntaxError, ElementTree.ParseError, Image.DecompressionBombError):
        return {}


def _png(path: Path) -> dict[str, Any]:
    with Image.open(path, formats=["PNG"]) as image:
        return _parsed(image.info.get(CHUNK))


def _svg(path: Path) -> dict[str, Any]:
    for _, element in ElementTree.iterparse(path):
        if element.tag == _DESCRIPTION:
            return _parsed(element.text)
    return {}


def _json(path: Path) -> dict[str, Any]:
    return _parsed(path.read_text(encoding="utf-8")) if path.name == "verdict.json" else {}


def _html(path: Path) -> dict[str, Any]:
    with open(path, encoding="utf-8") as page:
        found = re.search(r'<meta name="input_lineage_sha256" content="([0-9a-f]{64})">', page.read(4096))
    return {"input_lineage_sha256": found.group(1)} if found else {}


def _parsed(text: str | None) -> dict[str, Any]:
    value = json.loads(text or "{}")
    return value if isinstance(value, dict) else {}


_READERS = {".png": _png, ".svg": _svg, ".json": _json, ".html": _html}
