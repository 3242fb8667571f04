"""Figures, notebooks, summary and report are the same bytes in another folder, for another user with other habits, at another time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("render_everything.py")


def render_as(user: str, folder: Path, **environment: str) -> subprocess.Popen:
    """The child process with a home, a name and settings of its own."""
    home = folder / "home" / user
    home.mkdir(parents=True, exist_ok=True)
    work = folder / "checkout"
    work.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    own = {"HOME": str(home), "USER": user, "LOGNAME": user, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        cwd=work,
        env=kept | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def with_habits(home: Path) -> None:
    """A user who has told matplotlib and IPython how things should look."""
    (home / ".config" / "matplotlib").mkdir(parents=True)
    (home / ".config" / "matplotlib" / "matplotlibrc").write_text(
        "lines.linewidth: 7\nfont.size: 20\nsavefig.transparent: True\npath.simplify: False\naxes.formatter.limits: -1, 1\n"
        "svg.fonttype: path\nfigure.dpi: 33\nimage.cmap: hot\n"
    )
    startup = home / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("print('good morning')")


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "checkout" / "out").iterdir())
    }


def test_two_users_in_two_folders_get_the_same_bytes(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second" / "with a space"
    one = render_as("ada", first, PYTHONHASHSEED="1", TZ="UTC", LANG="C.UTF-8")
    with_habits(second / "home" / "grace")
    two = render_as("grace", second, PYTHONHASHSEED="2", TZ="Pacific/Auckland", LANG="C", COLUMNS="40")
    for child in (one, two):
        said, _ = child.communicate(timeout=300)
        assert child.returncode == 0, said
    left, right = digests(first), digests(second)
    assert len(left) == 8 * 3 + 2 * 2 + 3  # figures, notebooks; summary, costs, report
    assert [name for name in left if left[name] != right.get(name)] == []
    for path in (second / "checkout" / "out").iterdir():
        content = path.read_bytes()
        assert (
            b"grace" not in content
            and str(tmp_path).encode() not in content
            and b"good morning" not in content
        ), path.name
