"""On what a step ran: the class of machine, never which one; the commit, and whether the tree was as committed."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

_NVIDIA = Path("/proc/driver/nvidia")


def machine() -> dict[str, Any]:
    """System, CPU model, cores, memory in GiB, and GPUs with their driver; no host or user name, nothing serial."""
    gpus = [_field(path, r"^Model:\s*(.+)$") for path in sorted(_NVIDIA.glob("gpus/*/information"))]
    return {
        "host_class": f"{platform.system()}-{platform.machine()}",
        "cpu": _field(Path("/proc/cpuinfo"), r"^model name\s*:\s*(.+)$") or platform.processor() or None,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "gpu": [name for name in gpus if name],
        "driver": _field(_NVIDIA / "version", r"Kernel Module(?: for \S+)?\s+(\d[\d.]+)"),
    }


def _field(path: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)
    except OSError:
        return None
    return found.group(1).strip() if found else None


def commit(root: Path) -> dict[str, Any]:
    """The commit, whether the working tree was as committed, and if not the sha256 of the difference.

    All null where the project is no git checkout. Files that git ignores do not count; new files count by their name
    (what they hold is in the lineage, if a step read them). Two calls of git, about 5 ms together.
    """
    unknown = {"commit": None, "tree_clean": None, "diff_sha256": None}
    status = _git(root, "status", "--porcelain=v2", "--branch")
    if status is None:
        return unknown
    lines = status.decode(errors="replace").splitlines()
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    changes = [line for line in lines if not line.startswith("#")]
    if not commits or commits[0] == "(initial)":
        return unknown
    difference = None
    if changes:
        added = "\n".join(line for line in changes if line.startswith("?"))
        difference = hashlib.sha256(
            (_git(root, "diff", "HEAD", "--binary", "--no-ext-diff") or b"") + added.encode()
        ).hexdigest()
    return {"commit": commits[0], "tree_clean": not changes, "diff_sha256": difference}


def _git(root: Path, *arguments: str) -> bytes | None:
    # no optional locks: asking must never disturb a git command of the user's
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def version_of(distribution: str) -> str | None:
    """The installed version of a package, None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
