"""Images in files (uint8, channels last) and for networks (float32 in [-1, 1], channels first)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_npz_dict
from workflow_scripts.data.dataset import require_arrays


def to_float(images: np.ndarray) -> torch.Tensor:
    """Scale u8 `[N, H, W, C]` to float32 `[N, C, H, W]` by `x / 127.5 - 1`; ValueError for another dtype."""
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"expected uint8 [N, H, W, C], got {images.dtype} {list(images.shape)}")
    return scaled(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))


def scaled(images: torch.Tensor) -> torch.Tensor:
    """Scale u8 `[N, C, H, W]` to float32 by `x / 127.5 - 1`, with the same bits on every device."""
    # by a tensor: a GPU multiplies by the reciprocal of a plain number, which rounds differently
    divisor = torch.full((), 127.5, device=images.device)
    return images.contiguous().to(torch.float32).div_(divisor).sub_(1.0)


def to_uint8(x: torch.Tensor) -> np.ndarray:
    """Scale float `[N, C, H, W]` back to u8 `[N, H, W, C]` by `round((x + 1) * 127.5)`, clamped to 0..255.

    PipelineError when a value is NaN or infinite.
    """
    if x.ndim != 4:
        raise ValueError(f"expected [N, C, H, W], got {list(x.shape)}")
    x = x.detach()
    if not bool(torch.isfinite(x).all()):
        raise PipelineError(
            "an image holds NaN or infinite values; the checkpoint it came from has probably diverged"
        )
    levels = (x.float() + 1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.cpu().numpy().transpose(0, 2, 3, 1))


def load_dataset(path: str | Path) -> dict[str, np.ndarray]:
    """Read an npz made by prepare_data: the arrays of a Split (data/dataset.py).

    PipelineError, naming the file, when it is missing, damaged or holds something else.
    """
    data = read_npz_dict(path)
    require_arrays(data, path, "delete it and run again")
    return data
