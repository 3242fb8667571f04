"""Dropout whose masks cost little on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Each entry's fate is decided by 16 random bits.
LEVELS = 2**16


class Dropout(nn.Dropout):
    """Zeroes each entry with probability `p` while training and scales the others, so that the mean stays (Hinton et al. 2012).

    On a CPU `p` is rounded to the nearest multiple of 2^-16, by which the scale goes too; torch's own masks, drawn one
    entry at a time, would take a tenth of a training step there. Elsewhere it is torch's.
    """

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(self.p * LEVELS)
        if not self.training or x.device.type != "cpu" or dropped == LEVELS:
            return super().forward(x)
        count = x.numel()
        words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
        # 1 or 0, written where the bits were: a boolean mask and its cast would take seven times as long.
        kept = words.view(torch.int16)[:count].ge_(dropped - LEVELS // 2)
        # The scale is not part of the mask, which bfloat16 would round.
        return (x * kept.view(x.shape).to(x.dtype)).mul_(LEVELS / (LEVELS - dropped))
