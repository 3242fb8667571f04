"""JSON files that one step writes and others read: what they must hold, checked before anything is looked up in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError, shorten
from workflow_scripts.core.files import read_json

SHA256 = "64 hex digits"
_KINDS = {str: "text", int: "a whole number", list: "a list", SHA256: f"a sha256 of {SHA256}"}
Fields = Mapping[str, type | str]

# R/data/manifest.json, R/extractor/extractor.json and R/stats/reference.json (docs/architecture.md).
DATASET_MANIFEST: Fields = {
    "title": str,
    "licence": str,
    "shape": list,
    "classes": list,
    "train.count": int,
    "train.sha256": SHA256,
    "test.count": int,
    "test.sha256": SHA256,
    "sources_sha256": SHA256,
}
EXTRACTOR_INFO: Fields = {"name": str, "feature_dim": int, "extractor_sha256": SHA256}
REFERENCE_INFO: Fields = {
    "metric": str,
    "extractor_sha256": SHA256,
    "reference_sha256": SHA256,
    "features_sha256": SHA256,
}


def read_document(path: str | Path, fields: Fields) -> dict[str, Any]:
    """The JSON object at `path`, which must hold every dotted field, of its kind; PipelineError names what is wrong."""
    document = read_json(path)
    for dotted, kind in fields.items():
        value = document
        for part in dotted.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        fits = (
            isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
            if kind is SHA256
            else isinstance(value, kind)
        )
        if not fits or isinstance(value, bool):  # Python calls True a whole number
            raise PipelineError(
                f"{path}: {dotted} is {shorten(repr(value))}, must be {_KINDS[kind]}; delete it and run again"
            )
    return document
