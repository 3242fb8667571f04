"""Reading weights files without executing anything they hold."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.common.errors import PipelineError


def load_weights(path: str | Path) -> dict[str, Any]:
    """The dictionary in a file written by `torch.save`, on the CPU; PipelineError when missing, damaged or not one."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise PipelineError(f"{path} is damaged or no weights file; replace it, or delete it to rebuild it") from error
    if not isinstance(content, dict):
        raise PipelineError(f"{path} holds no weights by name; replace it, or delete it to rebuild it")
    return content
