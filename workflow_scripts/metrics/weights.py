"""Reading weights files without running code from them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.core.errors import PipelineError

REMEDY = "replace it, or delete it to rebuild it"


def load_weights(path: str | Path) -> dict[str, Any]:
    """Load the dictionary in a file written by `torch.save`, to the CPU.

    PipelineError when the file is missing, damaged or holds something else.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        if content.startswith(b"PK"):
            _check_archive(content)
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything on an altered file
        raise PipelineError(f"{path} is damaged or not a weights file; {REMEDY}") from error
    if not isinstance(weights, dict):
        raise PipelineError(f"{path} holds no weights by name; {REMEDY}")
    return weights


def _check_archive(content: bytes) -> None:
    """Raise ValueError if a checksum does not match, which torch ignores, or a member is compressed.

    torch.save never compresses, and torch.load would unpack a small crafted file until the memory is full.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("a member is compressed")
        if (member := archive.testzip()) is not None:
            raise ValueError(f"{member} does not match its checksum")
