"""Commands of earlier versions say in one line where they went."""

import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.tools import moved

ROOT = Path(__file__).parents[2]


def call(module):
    return subprocess.run(
        [sys.executable, "-m", f"workflow_scripts.{module}", "x"], cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (
            "plan_study",
            "error: workflow_scripts.plan_study was moved; use python -m workflow_scripts.tools.plan",
        ),
        (
            "share_gpu",
            "error: workflow_scripts.share_gpu was removed; use nvidia-cuda-mps-control (docs/gpu.md)",
        ),
    ],
)
def test_an_old_command_says_where_it_went(old, said):
    done = call(old)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{said}\n")


def test_what_never_was_a_command_is_pythons_own_error():
    assert "No module named workflow_scripts.unheard_of" in call("unheard_of").stderr


def test_the_new_commands_exist():
    for name in moved._RENAMED.values():
        assert (ROOT / "workflow_scripts/tools" / f"{name}.py").is_file(), name
