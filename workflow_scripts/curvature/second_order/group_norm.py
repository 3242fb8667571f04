"""Group normalization (Wu and He 2018)."""

from __future__ import annotations

import torch
from torch import Tensor


class GroupNorm:
    """y = w n + b with n = r (x - mean(x)) and r = (var(x) + eps)^(-1/2), over groups of channels of x [B, C, ...].

    With m = mean(x'), c = mean(n x') and s = mean(x'^2) - m^2 over each group, n' = r (x' - m - c n) and
    n'' = r^2 ((3 c^2 - s) n - 2 c (x' - m)). What it is called with is x', and the derivatives of w and b where it has them.
    """

    def __init__(
        self,
        x: Tensor,
        num_groups: int,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
        *,
        adjoint: Tensor,
    ):
        batch, channels = x.shape[:2]
        self._shape, self._has = x.shape, [tensor is not None for tensor in (weight, bias)]
        self._groups = (batch, num_groups, channels // num_groups)
        grouped = x.detach().reshape(batch, num_groups, -1)
        variance, mean = torch.var_mean(grouped, dim=2, correction=0, keepdim=True)
        self._rate = torch.rsqrt(variance + eps)  # [B, groups, 1]
        self._normal = ((grouped - mean) * self._rate).view(batch, channels, -1)  # [B, C, pixels]
        self._weight = (
            x.new_ones(self._groups[1:]) if weight is None else weight.detach().view(self._groups[1:])
        )
        self._adjoint = adjoint.reshape(self._normal.shape)
        self._adjoint_sums = self._of_channels(self._adjoint)
        self._adjoint_normal = self._of_channels(self._adjoint * self._normal)

    def __call__(self, tangents: list[Tensor | None]) -> tuple[list[Tensor | None], Tensor | None]:
        given = iter(tangents)
        dx, dw, db = next(given), *(next(given) if has else None for has in self._has)
        dx = torch.zeros_like(self._normal) if dx is None else dx.reshape(self._normal.shape)
        count = self._groups[2] * dx.shape[2]
        m = self._of_channels(dx).sum(2, keepdim=True) / count
        c = self._of_channels(self._normal * dx).sum(2, keepdim=True) / count
        squares = torch.linalg.vector_norm(dx.reshape(*self._groups[:2], -1), dim=2, keepdim=True).square()
        s = squares / count - m.square()
        # of each channel, < a, x' - m >
        centred = self._of_channels(self._adjoint * dx) - m * self._adjoint_sums
        second = (
            self._weight
            * self._rate.square()
            * ((3 * c.square() - s) * self._adjoint_normal - 2 * c * centred)
        ).sum()
        # y' is made of x', n and 1, with a factor for each channel
        slope = self._rate * self._weight
        of_normal, shift = -c * slope, -m * slope
        if dw is not None:
            dw = dw.view(self._groups[1:])
            of_normal = of_normal + dw
            second = second + 2 * (dw * self._rate * (centred - c * self._adjoint_normal)).sum()
        if db is not None:
            shift = shift + db.view(self._groups[1:])
        slope, of_normal, shift = (
            factor.view(*self._normal.shape[:2], 1) for factor in (slope, of_normal, shift)
        )
        moved = (self._normal * of_normal).addcmul_(slope, dx).add_(shift)
        return [moved.view(self._shape)], second

    def _of_channels(self, values: Tensor) -> Tensor:
        """Sums over pixels, [B, groups, channels of a group], of [B, C, pixels]."""
        return values.sum(2).view(self._groups)
