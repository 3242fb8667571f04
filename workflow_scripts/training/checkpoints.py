"""Checkpoints: equal weights give equal bytes, and a damaged file is refused by name."""

from __future__ import annotations

import io
import json
import pickle
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json, write_bytes

KEYS = ("model", "ema", "step", "seed", "settings")
# what zipfile and torch raise on a file that is cut off, altered or something else; a pickle that would run code as well
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    EOFError,
    KeyError,
)


def save_checkpoint(
    path: str | Path,
    *,
    model: Mapping[str, torch.Tensor],
    ema: Mapping[str, torch.Tensor],
    step: int,
    seed: int,
    settings: Mapping[str, Any],
) -> None:
    """Write a checkpoint atomically. The bytes depend on the values only, not on the device or on the path.

    `model` and `ema` are state dicts with the same names, `settings` is JSON-like, `step` counts the updates done.
    """
    content = {
        "model": _plain(model),
        "ema": _plain(ema),
        "step": int(step),
        "seed": int(seed),
        # pickle writes a shared string once, so which strings are shared must not depend on the caller
        "settings": json.loads(canonical_json(settings)),
    }
    # torch.save writes the file's own name into the archive; a buffer has none
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: `model`, `ema` (state dicts), `step`, `seed`, `settings`.

    PipelineError, naming the file, when it is missing, truncated, altered or not a checkpoint.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PipelineError(f"cannot read checkpoint {path}: {error.strerror or error}") from error
    try:
        # torch does not compare the archive's check sums with its content
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if (member := archive.testzip()) is not None:
                raise ValueError(f"{member} does not match its check sum")
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PipelineError(f"checkpoint {path} is damaged ({reason}); delete it and train again") from error
    missing = [key for key in KEYS if key not in checkpoint] if isinstance(checkpoint, dict) else list(KEYS)
    if missing:
        raise PipelineError(
            f"{path} is not a checkpoint (it lacks {', '.join(missing)}); delete it and train again"
        )
    return checkpoint


def _plain(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # cloned: a view would drag its whole storage into the file; interned: see the note on shared strings
    return {
        sys.intern(name): value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()
    }
