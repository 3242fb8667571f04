"""What a network call would take were all but products free: python tests/benchmarks/sampling_limit.py

Times the preregistered network on 50 images with one thread, as a job draws them, beside the same call with less and less of
it done: transforms of Winograd's convolutions (float32) that only write and add up the values they should compute; then no
norms, joining with the skips and residual additions, which are little more than passes over memory; then no SiLU either, which
is arithmetic. What is left is what torch does in products, convolutions and attention.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from hardware import precisions  # noqa: E402
from networks import cifar_settings, our_network  # noqa: E402
from side_by_side import seconds  # noqa: E402
from torch import Tensor  # noqa: E402

from workflow_scripts.core.memory import keep_freed_memory  # noqa: E402
from workflow_scripts.nets import layers, unet, winograd_tiles  # noqa: E402
from workflow_scripts.nets.frozen import frozen  # noqa: E402
from workflow_scripts.training.device import require_float32  # noqa: E402

IMAGES, ROUNDS = 50, 15


def only_written(
    images: np.ndarray, channels: int, padded: np.ndarray, rows: np.ndarray, tiles: np.ndarray
) -> None:
    """Instead of `transform_images`: the 36 values of each tile and channel are written, nothing is read."""
    across = padded.shape[1] // (4 * channels) - 1
    torch.from_numpy(tiles)[:, : len(images) * (len(padded) // 4) * across * channels].fill_(0.5)


def only_added(
    products: np.ndarray,
    channels: int,
    bias: np.ndarray,
    rows: np.ndarray,
    line: np.ndarray,
    images: np.ndarray,
) -> None:
    """Instead of `transform_back`: the 36 values of each tile and channel are read and added, one of 16 results is written."""
    count = images.size // 16
    torch.sum(torch.from_numpy(products)[:, :count], 0, out=torch.from_numpy(images).view(-1)[:count])


class Kept:
    """`torch.cat`, whose results for images are made once for each shape."""

    def __init__(self) -> None:
        self._cat, self._results = torch.cat, {}

    def __call__(self, tensors, dim: int = 0) -> Tensor:
        if tensors[0].dim() != 4:
            return self._cat(tensors, dim)
        shapes = tuple(tensor.shape for tensor in tensors)
        if shapes not in self._results:
            self._results[shapes] = self._cat(tensors, dim)
        return self._results[shapes]


def transforms_left_out(stack: ExitStack) -> None:
    stack.enter_context(patch.object(winograd_tiles, "transform_images", only_written))
    stack.enter_context(patch.object(winograd_tiles, "transform_back", only_added))


def passes_left_out(stack: ExitStack) -> None:
    transforms_left_out(stack)
    stack.enter_context(patch.object(layers.GroupNorm, "forward", lambda norm, x: x))
    stack.enter_context(patch.object(layers.AdaptiveGroupNorm, "forward", lambda norm, x, scale, shift: x))
    stack.enter_context(patch.object(layers, "plus", lambda made, x: made))
    stack.enter_context(patch.object(torch, "cat", Kept()))


def all_but_products_left_out(stack: ExitStack) -> None:
    passes_left_out(stack)
    for module in (layers, unet):
        stack.enter_context(patch.object(module, "silu", lambda x: x))


WAYS: dict[str, Callable[[ExitStack], None]] = {
    "all of it": lambda stack: None,
    "transforms only write and add up": transforms_left_out,
    "no norms, joins, residual additions either": passes_left_out,
    "no SiLU either": all_but_products_left_out,
}


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(1)
    require_float32()
    keep_freed_memory()  # as steps do
    print("| a network call, 50 images, one thread | median | whole call over it |\n|---|---|---|")
    for precision in precisions("cpu"):
        measure(precision)


def measure(precision: str) -> None:
    """A line for each of WAYS, which are timed in turn."""
    winograd = precision == "fp32"
    network = frozen(
        our_network(cifar_settings()).eval(),
        torch.device("cpu"),
        precision,
        "channels_last",
        winograd=winograd,
    )
    x, t = torch.randn(IMAGES, 3, 32, 32), torch.full((1,), 500)
    taken: dict[str, list[float]] = {way: [] for way in WAYS if winograd or "transforms" not in way}
    for _ in range(ROUNDS):
        for way in taken:
            with ExitStack() as stack:
                WAYS[way](stack)
                network(x, t)  # the cache as this way leaves it
                taken[way].append(seconds(lambda: network(x, t)))
    whole = taken["all of it"]
    for way, times in taken.items():
        ratio = statistics.median(one / other for one, other in zip(whole, times))
        print(f"| {precision}, {way} | {statistics.median(times) * 1e3:.0f} ms | {ratio:.2f}× |", flush=True)


if __name__ == "__main__":
    main()
