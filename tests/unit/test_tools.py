"""What all commands for people share: an early end of their reader, and terminals of every locale."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = [path.stem for path in (ROOT / "workflow_scripts/tools").glob("*.py")]


@pytest.mark.parametrize("tool", sorted({*TOOLS} - {"__init__", "moved"}))
def test_a_reader_who_has_seen_enough_gets_no_traceback(tool):
    """`audit | head -1`, with a reader that is gone before anything is said."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", f"workflow_scripts.tools.{tool}", "--help"]
    done = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == -signal.SIGPIPE and done.stderr == ""


def test_a_tool_prints_what_a_terminal_cannot_show():
    code = "from workflow_scripts.tools import run; run(lambda: print('γ'))"
    environment = {**os.environ, "PYTHONIOENCODING": "iso-8859-1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u03b3\n", "")
