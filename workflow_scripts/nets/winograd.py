"""3x3 convolutions by Winograd's algorithm: a quarter of the multiplications, on a CPU, of a network that is trained no more.

Between the transforms of `winograd_tiles.py` lie 36 products of matrices, tiles by channels, which torch does. For float32
images, channels last; the result has about twice the rounding of oneDNN's convolution (docs/performance.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

# So many tiles are transformed and multiplied before the next ones: of 64 channels they and their products take 2 MB.
TILES_AT_ONCE = 128
# With fewer channels the transforms take what the products save.
MIN_CHANNELS = 32


def can_transform(device: torch.device, precision: str, memory_format: str) -> bool:
    """Whether a network that computes so can have its convolutions done this way."""
    return device.type == "cpu" and precision == "fp32" and memory_format == "channels_last"


def with_winograd(network: nn.Module) -> nn.Module:
    """The same network, changed: each convolution that gains from it becomes a `WinogradConv`."""
    rooms: Rooms = {}
    for module in list(network.modules()):
        for name, layer in module.named_children():
            if _gains(layer):
                setattr(module, name, WinogradConv(layer, rooms))
    return network


def _gains(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (3, 3)
        and layer.stride == layer.padding == layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and min(layer.in_channels, layer.out_channels) >= MIN_CHANNELS
    )


class _Room(NamedTuple):
    """The memory that a convolution works in, for images of one size; `winograd_tiles.py` says what each part is."""

    padded: np.ndarray
    rows: np.ndarray
    tiles: Tensor
    tiles_flat: np.ndarray
    products: Tensor
    products_flat: np.ndarray
    rows_back: np.ndarray
    line: np.ndarray


Rooms = dict[tuple[int, ...], _Room]


class WinogradConv(nn.Module):
    """`convolution`, 3x3 with stride and border 1, of float32 images [B, C, H, W] on a CPU, for its output alone.

    `rooms` is memory to work in, which the layers of a network share, so that it stays in the cache; hence not for several
    threads at once.
    """

    def __init__(self, convolution: nn.Conv2d, rooms: Rooms):
        super().__init__()
        self._out, self._in = convolution.weight.shape[:2]
        points = torch.from_numpy(_points_of_weights())
        weight = convolution.weight.detach().double()
        # [36, in, out]; in float64, since it is done once
        self._weight = (
            torch.einsum("ai,ocij,bj->abco", points, weight, points).reshape(36, self._in, self._out).float()
        )
        zeros = torch.zeros(self._out)
        self._bias = (zeros if convolution.bias is None else convolution.bias.detach()).numpy()
        self._rooms = rooms

    def forward(self, x: Tensor) -> Tensor:
        from workflow_scripts.nets.winograd_tiles import (
            TILE,
            transform_back,
            transform_images,
        )  # takes a second

        batch, _, height, width = x.shape
        down, across = -(-height // TILE), -(-width // TILE)
        images = max(1, TILES_AT_ONCE // (down * across))
        y = torch.empty((batch, self._out, height, width), memory_format=torch.channels_last)
        read, written = _rows(x.contiguous(memory_format=torch.channels_last)), _rows(y)
        room = self._room(min(images, batch), down, across)
        for first in range(0, batch, images):
            part = slice(first, first + images)
            transform_images(read[part], self._in, room.padded, room.rows, room.tiles_flat)
            torch.bmm(room.tiles, self._weight, out=room.products)
            transform_back(
                room.products_flat, self._out, self._bias, room.rows_back, room.line, written[part]
            )
        return y

    def _room(self, images: int, down: int, across: int) -> _Room:
        if (key := (self._in, self._out, images, down, across)) not in self._rooms:
            # One tile more: were their size a multiple of a page, all 36 would claim the same lines of the cache.
            count, width = images * down * across + 1, 4 * (across + 1) * self._in
            tiles, products = torch.zeros(36, count, self._in), torch.empty(36, count, self._out)
            self._rooms[key] = (
                _Room(  # all of it from torch, whose memory begins where a line of the cache does
                    padded=torch.zeros(4 * down + 2, width).numpy(),
                    rows=torch.empty(6, width).numpy(),
                    tiles=tiles,
                    tiles_flat=tiles.view(36, -1).numpy(),
                    products=products,
                    products_flat=products.view(36, -1).numpy(),
                    rows_back=torch.empty(6, 4, across * self._out).numpy(),
                    line=torch.empty(4, across * self._out).numpy(),
                )
            )
        return self._rooms[key]


def _rows(images: Tensor) -> np.ndarray:
    """Images [B, C, H, W], channels last, as [B, H, W C], without a copy."""
    return images.permute(0, 2, 3, 1).flatten(2).numpy()


def _points_of_weights() -> np.ndarray:
    """G [6, 3] of the algorithm: a row of weights, as a polynomial, at each point, scaled for the transforms' whole factors."""
    from workflow_scripts.nets.winograd_tiles import POINTS

    rows = []
    for point in POINTS:
        scale = np.prod([point - other for other in POINTS if other != point])
        rows.append([power / scale for power in (1.0, point, point**2)])
    return np.array([*rows, [0.0, 0.0, 1.0]])
