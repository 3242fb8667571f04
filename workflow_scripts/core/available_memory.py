"""How much memory this process may still take: what the machine has left, or what its control group allows."""

from __future__ import annotations

from pathlib import Path


def available_bytes(root: Path = Path("/")) -> int | None:
    """The least of MemAvailable and what each enclosing control group (v2 or v1) has left; None where nothing tells.

    In a container or a cluster job the group's limit counts, not the machine's memory. File cache that the kernel would
    give up counts as free. `root` is where /proc and /sys are looked for.
    """
    known = [_machine(root), *_groups(root)]
    return min((size for size in known if size is not None), default=None)


def _machine(root: Path) -> int | None:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _groups(root: Path) -> list[int]:
    left = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        tree = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        limit, used = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes")
            if controllers
            else ("memory.max", "memory.current")
        )
        cache = "total_inactive_file" if controllers else "inactive_file"
        group = tree / path.strip("/")
        while group.is_relative_to(tree):
            most, taken = _text(group / limit).strip(), _text(group / used).strip()
            if most.isdigit() and taken.isdigit():
                statistics = dict(line.split() for line in _text(group / "memory.stat").splitlines())
                left.append(max(int(most) - int(taken) + int(statistics.get(cache, 0)), 0))
            group = group.parent
    return left


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
