"""Files of tensors: equal values give equal bytes, and a damaged file is refused by name."""

from __future__ import annotations

import io
import json
import pickle
import sys
import textwrap
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workflow_scripts.core.errors import NotFiniteError, PipelineError
from workflow_scripts.core.files import canonical_json, write_bytes
from workflow_scripts.nets.build import build_network

KEYS = ("model", "ema", "step", "seed", "settings")
# What zipfile and torch raise for a file that is cut off, altered, foreign, or a pickle that would run code.
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
    diverged_at: int | None = None,
) -> None:
    """Write a checkpoint atomically. The bytes depend on the values only, not on the device or on the path.

    `model` and `ema` are state dicts with the same names, `settings` is JSON-like, `step` counts the updates
    done. A run that diverged before `step` has no weights there, but the step at which it did.
    """
    content = {
        "model": _plain(model),
        "ema": _plain(ema),
        "step": int(step),
        "seed": int(seed),
        # Pickle writes a shared string once, so which strings are shared must not depend on the caller.
        "settings": json.loads(canonical_json(settings)),
    }
    if diverged_at is not None:
        content["diverged_at"] = diverged_at
    write_tensors(path, content)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: `model`, `ema` (state dicts), `step`, `seed`, `settings`.

    PipelineError, naming the file, when it is missing, truncated, altered or not a checkpoint.
    """
    checkpoint = read_tensors(path, "delete it and train again")
    missing = [key for key in KEYS if key not in checkpoint] if isinstance(checkpoint, dict) else list(KEYS)
    if missing:
        raise PipelineError(
            f"{path} is not a checkpoint (it lacks {', '.join(missing)}); delete it and train again"
        )
    return checkpoint


def load_ema_model(path: Path, settings: Mapping[str, Any], must_agree: Sequence[str]) -> nn.Module:
    """Build the network of `settings` with a checkpoint's EMA weights, on the CPU, in evaluation mode.

    `must_agree` names what the checkpoint must have been trained with: `seed`, `step`, or sections of its
    settings. PipelineError, naming the file, when the checkpoint is damaged, disagrees, or does not fit the
    model; NotFiniteError when the run had diverged by then.
    """
    checkpoint = load_checkpoint(path)
    trained_with = {**checkpoint["settings"], "seed": checkpoint["seed"], "step": checkpoint["step"]}
    for name in must_agree:
        if trained_with.get(name) != settings[name]:
            raise PipelineError(
                f"{path} was trained with another {name} than this step asks for; delete it and train again"
            )
    if "diverged_at" in checkpoint:
        raise NotFiniteError(f"{path}: the run diverged at step {checkpoint['diverged_at']}")
    model = build_network(settings)
    try:
        model.load_state_dict(checkpoint["ema"])
    except RuntimeError as error:
        reason = textwrap.shorten(str(error), 200)
        raise PipelineError(
            f"the EMA weights in {path} do not fit the model ({reason}); delete it and train again"
        ) from error
    return model.eval()


def write_tensors(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write tensors, numbers, text, lists and dicts atomically, for `read_tensors`."""
    # torch.save writes the file's name into the archive; a buffer has none.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())


def read_tensors(path: str | Path, remedy: str) -> Any:
    """Read what `write_tensors` wrote, onto the CPU, without running code from the file.

    PipelineError, naming the file, when it cannot be read or is damaged, which ends with `remedy`.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        # torch does not compare the archive's checksums with its content.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if (member := archive.testzip()) is not None:
                raise ValueError(f"{member} does not match its checksum")
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PipelineError(f"{path} is damaged ({reason}); {remedy}") from error


def _plain(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # Copied, since a view would drag its whole storage into the file; interned for the shared strings above.
    return {
        sys.intern(name): value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()
    }
