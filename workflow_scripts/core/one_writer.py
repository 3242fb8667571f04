"""One writer at a time: a step waits while another process makes the same outputs."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

# What a file system without locks answers (NFS without its lock service, Lustre mounted without flock).
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def take_turn(path: str | Path, say: Callable[[str], None]) -> TextIO:
    """Lock the file `path` for as long as what is returned stays open; while another process holds it, say who and wait.

    The kernel drops the lock with the process, however it dies, so a file that is left behind blocks nobody. On a file
    system without locks it says so and goes on. OSError where the file cannot be written.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # "a" creates without emptying: what stands in there is the holder's
    lock = open(path, "a+", encoding="utf-8")
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            say(
                f"waiting for {lock.read() or 'another process'}, which makes the same outputs ({path} is locked)"
            )
            fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        say(
            f"the file system of {path} has no locks ({error.strerror}): make sure that one job at a time writes there"
        )
    lock.truncate(0)
    lock.write(_who())
    lock.flush()
    return lock


def _who() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    return f"process {os.getpid()} on {socket.gethostname()}{f', SLURM job {job}' if job else ''}"
