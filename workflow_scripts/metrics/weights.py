"""Reading weights files without executing anything they hold."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.core.errors import PipelineError

REMEDY = "replace it, or delete it to rebuild it"


def load_weights(path: str | Path) -> dict[str, Any]:
    """The dictionary in a file written by `torch.save`, on the CPU; PipelineError when missing, damaged or not one."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        _check_archive(content)
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything on an altered file
        raise PipelineError(f"{path} is damaged or no weights file; {REMEDY}") from error
    if not isinstance(weights, dict):
        raise PipelineError(f"{path} holds no weights by name; {REMEDY}")
    return weights


def _check_archive(content: bytes) -> None:
    """Of a zip, which torch.save has written since 1.6: sums that torch does not compare, and no member packed.

    torch.save packs none, so that a small file cannot unpack to more than the machine holds.
    """
    if not content.startswith(b"PK"):
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("a member is packed")
        if (member := archive.testzip()) is not None:
            raise ValueError(f"{member} does not match its sum")
