"""How much memory a computation needs at most, counted on tensors that have shapes and no content."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(compute: Callable[[], Any]) -> int:
    """The most bytes that tensors made inside `compute` hold at one time, backward passes included.

    Run it on tensors of torch's `meta` device: nothing is computed or allocated, so any size is counted at once. What a
    kernel needs inside itself (a convolution's reordered copies) is not seen, nor what the allocator keeps for later.
    """
    counter = _Counter()
    with counter:
        result = compute()
    del result
    return counter.peak


class _Counter(TorchDispatchMode):
    """Adds a storage up when an operation returns it for the first time, and takes it off when its last tensor goes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        before = {_address(value) for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)}
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and _address(value) not in self._known | before:
                self._add(value.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        address, size = storage._cdata, storage.nbytes()
        self._known.add(address)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._remove, address, size).atexit = False

    def _remove(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.now -= size


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata
