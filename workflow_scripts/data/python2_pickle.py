"""CIFAR-10's batch files, which are pickles, read as data: nothing in them can name anything that runs.

The only names that a pickle may hold are the three that numpy's arrays need, and each of them stands for a plain record
here. Numbers, texts, lists and dictionaries need no name.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from workflow_scripts.core.errors import PipelineError, shorten


class _Record:
    """Takes whatever state a pickle gives it, and does nothing with it."""

    def __init__(self, *arguments: Any):
        self.arguments, self.state = arguments, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Type(_Record):
    """In place of numpy.dtype."""


class _Array(_Record):
    """In place of numpy.ndarray."""


_ALLOWED = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Record]:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no data needs")
        return _ALLOWED[module, name]


def read_pickle(content: bytes, where: str) -> dict[str, Any]:
    """The dictionary in a pickle of texts, numbers, lists and arrays of bytes (u8 `[N, M]`); PipelineError for all else."""
    try:
        found = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        if not isinstance(found, dict):
            raise ValueError(f"holds {type(found).__name__}, not values by name")
        return {
            key: _as_array(value) if isinstance(value, _Record) else value for key, value in found.items()
        }
    except Exception as error:  # an altered pickle may raise anything
        raise PipelineError(
            f"{where} cannot be read ({shorten(error) or type(error).__name__}); get it again"
        ) from error


def _as_array(value: _Record) -> np.ndarray:
    """numpy's own state of an array: version, shape, type, order, values (in Python 2 a text of latin1)."""
    _, shape, kind, fortran, values = value.state
    if not isinstance(kind, _Type) or kind.arguments[0] != "u1" or fortran:
        raise ValueError("holds an array of another type than bytes in rows")
    values = values.encode("latin1") if isinstance(values, str) else values
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)
