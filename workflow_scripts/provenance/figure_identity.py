"""Which run a file belongs to: figures, the verdict and the report carry the sum of their lineage inside.

A PNG has it in a text chunk, an SVG in its RDF metadata (`report/style.py` writes both), so that a figure
found on a slide leads back to its run.
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

_CHUNK = "provenance"  # the name of the PNG's text chunk; an SVG has the same text as Dublin Core description
_DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"


def identity_text(
    input_lineage_sha256: str | None, report: Mapping[str, Any], rule: str | None, figure: str
) -> str:
    """Return study, preset, rule, figure and lineage as canonical JSON, to put inside a figure."""
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
    """Read the identity inside a figure (.png, .svg), verdict (.json) or report (.html); empty if none.

    A damaged file has none: its sum, not this function, says that it is damaged.
    """
    reader = _READERS.get(path.suffix)
    try:
        found = json.loads((reader and reader(path)) or "{}")
    except (OSError, ValueError, SyntaxError, ElementTree.ParseError, Image.DecompressionBombError):
        return {}
    return found if isinstance(found, dict) else {}


def _png(path: Path) -> str | None:
    with Image.open(path, formats=["PNG"]) as image:
        return image.info.get(_CHUNK)


def _svg(path: Path) -> str | None:
    elements = (element for _, element in ElementTree.iterparse(path))
    return next((element.text for element in elements if element.tag == _DESCRIPTION), None)


def _json(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.name == "verdict.json" else None


def _html(path: Path) -> str | None:
    with open(path, encoding="utf-8") as page:
        found = re.search(r'<meta name="input_lineage_sha256" content="([0-9a-f]{64})">', page.read(4096))
    return json.dumps({"input_lineage_sha256": found[1]}) if found else None


_READERS = {".png": _png, ".svg": _svg, ".json": _json, ".html": _html}
