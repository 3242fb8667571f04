"""Winograd's transforms of tiles, from images to products and back, compiled for the processor where they first run.

For 3x3 convolutions with a border of zeros, F(4x4, 3x3) in Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
Networks", section 4: an image is cut into tiles of 4x4 pixels, each is read with a border of one pixel, 6x6, and transformed
to 36 values; the 36 products of these with the weights' give the tile's 4x4 results. The polynomials' points are 0, +-1/√2,
+-√2 and infinity instead of 0, +-1, +-2 and infinity there, which round less (docs/performance.md).

Images are [B, H, W C], channels last. A row of tiles lies beside each other, so that every loop is long: of the pixels, first
those whose column is 0 modulo 4, then those where it is 1, and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

TILE = 4
POINTS = (0.0, 0.5**0.5, -(0.5**0.5), 2.0**0.5, -(2.0**0.5))
SMALL, LARGE = np.float32(POINTS[1]), np.float32(POINTS[3])
SMALL_SQUARED, LARGE_SQUARED = np.float32(0.5), np.float32(2.0)
SMALL_CUBED, LARGE_CUBED = np.float32(POINTS[1] ** 3), np.float32(POINTS[3] ** 3)
SUM_OF_SQUARES = np.float32(2.5)


def _compiled(function: Callable[..., Any]) -> Any:
    """Without Python's lock; kept on disk for the next process where a folder can be written."""
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # no folder can be written
        return numba.njit(nogil=True, error_model="numpy")(function)


@_compiled
def transform_images(
    images: np.ndarray, channels: int, padded: np.ndarray, rows: np.ndarray, tiles: np.ndarray
) -> None:
    """From `images` [B, H, W C] to `tiles` [36, at least B ceil(H/4) ceil(W/4) C].

    To work in: `padded` [4 ceil(H/4) + 2, 4 (ceil(W/4) + 1) C], whose border and filling are zeros and stay so, and `rows`
    [6, 4 (ceil(W/4) + 1) C].
    """
    batch, height, width = images.shape[0], images.shape[1], images.shape[2] // channels
    down, across = (padded.shape[0] - 2) // TILE, padded.shape[1] // (TILE * channels) - 1
    count, step = across * channels, (across + 1) * channels
    at = 0
    for image in range(batch):
        for y in range(height):
            for x in range(width):
                to = (x + 1) % TILE * step + (x + 1) // TILE * channels
                _copy(images[image, y, x * channels : (x + 1) * channels], padded[y + 1, to : to + channels])
        for row in range(down):
            y = TILE * row
            _six(
                padded[y],
                padded[y + 1],
                padded[y + 2],
                padded[y + 3],
                padded[y + 4],
                padded[y + 5],
                rows,
                0,
                0,
                rows.shape[1],
            )
            for k in range(6):
                r = rows[k]
                _six(
                    r[:count],
                    r[step : step + count],
                    r[2 * step : 2 * step + count],
                    r[3 * step : 3 * step + count],
                    r[channels:step],
                    r[step + channels : 2 * step],
                    tiles,
                    6 * k,
                    at,
                    count,
                )
            at += count


@_compiled
def transform_back(
    products: np.ndarray,
    channels: int,
    bias: np.ndarray,
    rows: np.ndarray,
    line: np.ndarray,
    images: np.ndarray,
) -> None:
    """From `products` [36, at least B ceil(H/4) ceil(W/4) C] to `images` [B, H, W C], with a `bias` [C].

    To work in: `rows` [6, 4, ceil(W/4) C] and `line` [4, ceil(W/4) C].
    """
    batch, height, width = images.shape[0], images.shape[1], images.shape[2] // channels
    count = line.shape[1]
    at = 0
    for image in range(batch):
        for y in range(0, height, TILE):
            for k in range(6):
                _four(
                    products[k, at : at + count],
                    products[k + 6, at : at + count],
                    products[k + 12, at : at + count],
                    products[k + 18, at : at + count],
                    products[k + 24, at : at + count],
                    products[k + 30, at : at + count],
                    rows[k],
                )
            for below in range(min(TILE, height - y)):
                _four(
                    rows[0, below],
                    rows[1, below],
                    rows[2, below],
                    rows[3, below],
                    rows[4, below],
                    rows[5, below],
                    line,
                )
                for x in range(width):
                    of = x // TILE * channels
                    _add(
                        line[x % TILE, of : of + channels],
                        bias,
                        images[image, y + below, x * channels : (x + 1) * channels],
                    )
            at += count


@_compiled
def _six(d0, d1, d2, d3, d4, d5, out, first, at, count):  # type: ignore[no-untyped-def]
    """Six rows of `out` from `first` on, at `at`: the values of a tile of six at the six points."""
    end = at + count
    _ends(d0, d2, d4, out[first, at:end])
    _opposite(d1, d2, d3, d4, SMALL, LARGE, LARGE_SQUARED, out[first + 1, at:end], out[first + 2, at:end])
    _opposite(d1, d2, d3, d4, LARGE, SMALL, SMALL_SQUARED, out[first + 3, at:end], out[first + 4, at:end])
    _ends(d1, d3, d5, out[first + 5, at:end])


@_compiled
def _ends(a, b, c, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = a[i] - SUM_OF_SQUARES * b[i] + c[i]


@_compiled
def _opposite(d1, d2, d3, d4, point, other, other_squared, plus, minus):  # type: ignore[no-untyped-def]
    for i in range(plus.size):
        even = d4[i] - other_squared * d2[i]
        odd = point * d3[i] - other * d1[i]
        plus[i] = even + odd
        minus[i] = even - odd


@_compiled
def _four(m0, m1, m2, m3, m4, m5, out):  # type: ignore[no-untyped-def]
    """Four results from the products at the six points."""
    _first(m0, m1, m2, m3, m4, out[0])
    _between(m1, m2, m3, m4, out[1], out[2])
    _last(m1, m2, m3, m4, m5, out[3])


@_compiled
def _first(m0, m1, m2, m3, m4, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = m0[i] + (m1[i] + m2[i]) + (m3[i] + m4[i])


@_compiled
def _between(m1, m2, m3, m4, odd, even):  # type: ignore[no-untyped-def]
    for i in range(odd.size):
        odd[i] = SMALL * (m1[i] - m2[i]) + LARGE * (m3[i] - m4[i])
        even[i] = SMALL_SQUARED * (m1[i] + m2[i]) + LARGE_SQUARED * (m3[i] + m4[i])


@_compiled
def _last(m1, m2, m3, m4, m5, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = SMALL_CUBED * (m1[i] - m2[i]) + LARGE_CUBED * (m3[i] - m4[i]) + m5[i]


@_compiled
def _copy(values, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = values[i]


@_compiled
def _add(values, others, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = values[i] + others[i]
