"""Why Snakemake found the project's folder locked, and what to do about it, in one line."""

from __future__ import annotations

import os
from pathlib import Path

PROCESSES = Path("/proc")  # Linux; elsewhere no process is found, and the line says so


def lock_advice(root: Path) -> str:
    """What to do where another Snakemake's lock is in the way: wait for the one that runs, or unlock for one that died."""
    running = running_snakemakes(root)
    if running:
        return f"error: another Snakemake (process {running[0]}) works on the same results; wait until it has ended, then run again"
    return (
        "error: the results are locked, and no Snakemake works on them on this machine: one was killed. If none does on "
        "another machine either, unlock and run again: snakemake --unlock"
    )


def running_snakemakes(root: Path) -> list[int]:
    """The numbers of all other processes of this machine that run Snakemake in the folder `root`."""
    found = []
    for process in PROCESSES.glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            here = (process / "cwd").resolve() == root.resolve()
        except OSError:  # it has ended, or is another user's
            continue
        # `python -m snakemake` or the command of that name, not an editor that shows a file of that name
        called = any(os.path.basename(word) == b"snakemake" for word in words[:4])
        if here and called and int(process.name) not in (os.getpid(), os.getppid()):
            found.append(int(process.name))
    return sorted(found)
