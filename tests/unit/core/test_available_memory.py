"""What may still be taken, from made-up /proc and /sys."""

from pathlib import Path

import pytest

from workflow_scripts.core.available_memory import available_bytes

MEMINFO = "MemTotal:       8000000 kB\nMemFree:         100000 kB\nMemAvailable:   4000000 kB\n"


def _files(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def _group(path: str, limit: str, used: int, cache: int) -> dict[str, str]:
    folder = f"sys/fs/cgroup/{path}"
    return {
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.current": f"{used}\n",
        f"{folder}/memory.stat": f"anon 5\ninactive_file {cache}\n",
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 4000000 * 1024),
        ({"proc/self/cgroup": "0::/\n"}, 4000000 * 1024),
        ({"proc/self/cgroup": "0::/job/step\n", **_group("job/step", "max", 9, 0)}, 4000000 * 1024),
        # the enclosing group counts too; what is only file cache is not used up
        (
            {
                "proc/self/cgroup": "0::/job/step\n",
                **_group("job/step", "max", 9, 0),
                **_group("job", "1000", 900, 250),
            },
            350,
        ),
        ({"proc/self/cgroup": "0::/job\n", **_group("job", "1000", 1400, 0)}, 0),
        (
            {
                "proc/self/cgroup": "4:cpu,memory:/job\n2:cpuset:/other\n",
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "5000",
                "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "4000",
                "sys/fs/cgroup/memory/job/memory.stat": "cache 7\ntotal_inactive_file 500\n",
            },
            1500,
        ),
    ],
)
def test_the_least_of_all_limits_counts(tmp_path, files, expected):
    assert available_bytes(_files(tmp_path, files)) == expected


def test_where_nothing_tells_nothing_is_known(tmp_path):
    assert available_bytes(tmp_path) is None


def test_this_machine_has_something_left():
    assert 2**20 < available_bytes() < 2**50
