"""Figures, a notebook, summary and report have the same bytes for another user in another folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.report.figures import FIGURES

HERE = Path(__file__).resolve().parent
RENDER_EVERYTHING = """
from pathlib import Path
import made_up_report as made_up
from workflow_scripts.report.figures import FIGURES

made_up.render_study(Path("out"), *made_up.write_study(Path("study")), FIGURES)
"""


def render_as(user: str, folder: Path, **environment: str) -> subprocess.Popen:
    """Start the child process with its own home, user name and settings."""
    home, work = folder / "home" / user, folder / "checkout"
    for path in (home, work):
        path.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    own = {"HOME": str(home), "USER": user, "LOGNAME": user, "OMP_NUM_THREADS": "1", **environment}
    own["PYTHONPATH"] = os.pathsep.join(map(str, (HERE, HERE.parents[2])))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, "-c", RENDER_EVERYTHING], cwd=work, env=kept | own, **pipes)


def with_habits(home: Path) -> None:
    """Give the user a matplotlibrc and an IPython start-up file."""
    (home / ".config" / "matplotlib").mkdir(parents=True)
    (home / ".config" / "matplotlib" / "matplotlibrc").write_text(
        "lines.linewidth: 7\nfont.size: 20\nsavefig.transparent: True\npath.simplify: False\n"
        "axes.formatter.limits: -1, 1\nsvg.fonttype: path\nfigure.dpi: 33\nimage.cmap: hot\n"
    )
    startup = home / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("print('good morning')")


@pytest.mark.slow
def test_two_users_in_two_folders_get_the_same_bytes(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second" / "with a space"
    one = render_as("ada", first, PYTHONHASHSEED="1", TZ="UTC", LANG="C.UTF-8")
    with_habits(second / "home" / "grace")
    two = render_as("grace", second, PYTHONHASHSEED="2", TZ="Pacific/Auckland", LANG="C", COLUMNS="40")
    for child in (one, two):
        said, _ = child.communicate(timeout=300)
        assert child.returncode == 0, said
    left, right = (
        {path.name: path.read_bytes() for path in (folder / "checkout" / "out").iterdir()}
        for folder in (first, second)
    )
    assert len(left) == len(FIGURES) * 3 + 2 + 3  # figures, notebook; summary, costs, report
    digest = {name: hashlib.sha256(content).hexdigest() for name, content in left.items()}
    assert digest == {name: hashlib.sha256(content).hexdigest() for name, content in right.items()}
    for name, content in right.items():
        for trace in (b"grace", str(tmp_path).encode(), b"good morning"):
            assert trace not in content, name
