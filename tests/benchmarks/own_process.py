"""Our side of a comparison in a process of its own, set up like a step of the pipeline."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from workflow_scripts.core.memory import keep_freed_memory


class OwnProcess:
    """Call what `make(*arguments)` returns in another process; use it as a context manager.

    `make` and `arguments` are pickled, so `make` is a function of a module. The peer runs in this process,
    with malloc's defaults, as it does for its users. RuntimeError carries what went wrong in the other
    process.
    """

    def __init__(self, threads: int, make: Callable[..., Callable[..., Any]], *arguments: Any):
        spawn = multiprocessing.get_context("spawn")  # a fork would share libraries that have started threads
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, threads, make, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.result()  # waits until it is made

    def __enter__(self) -> OwnProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.join()

    def __call__(self, *arguments: Any) -> Any:
        self.start(*arguments)
        return self.result()

    def start(self, *arguments: Any) -> None:
        """Begin a call; `result` waits for it."""
        self._connection.send(arguments)

    def result(self) -> Any:
        try:
            done, value = self._connection.recv()
        except EOFError:
            raise RuntimeError(
                "our side's process ended without an answer; was there enough memory?"
            ) from None
        if not done:
            raise RuntimeError(f"our side, in a process of its own: {value}")
        return value


def _serve(
    connection: Connection, threads: int, make: Callable[..., Callable[..., Any]], arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()
    try:
        call = make(*arguments)
        connection.send((True, None))
        while True:
            connection.send((True, call(*connection.recv())))
    except EOFError:  # the other end was closed
        pass
    except Exception as error:
        connection.send((False, f"{type(error).__name__}: {error}"))
