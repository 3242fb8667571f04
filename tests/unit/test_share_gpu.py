"""Sharing a GPU, with a script that stands for NVIDIA's daemon and writes down what it is asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The daemon is a sleeping process that lasts until it is told to quit, as the real one does.
STAND_IN = """#!/bin/sh
echo "$CUDA_MPS_PIPE_DIRECTORY $CUDA_MPS_LOG_DIRECTORY ${1:-said}" >> "$CALLS"
if [ "$1" = -d ]; then
    if [ -n "$FAILS" ]; then echo "no device that could be shared" >> "$CUDA_MPS_LOG_DIRECTORY/control.log"; exit 1; fi
    sleep 300 & echo $! > "$CUDA_MPS_PIPE_DIRECTORY/pid"
    exit 0
fi
read words
echo "$words" >> "$CALLS"
[ -f "$CUDA_MPS_PIPE_DIRECTORY/pid" ] || exit 1
if [ "$words" = quit ]; then kill "$(cat "$CUDA_MPS_PIPE_DIRECTORY/pid")"; fi
"""


@pytest.fixture
def calls(tmp_path, monkeypatch) -> Path:
    """Where the stand-in, which comes first on the PATH, writes what it is asked."""
    program = tmp_path / "bin" / "nvidia-cuda-mps-control"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("FAILS", "")
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)
    return tmp_path / "calls"


def _share(*command: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "workflow_scripts.tools.share_gpu", *command]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)


def _require_started_and_quit(calls: Path) -> None:
    lines = calls.read_text().splitlines()
    started, asked, _, told, last = lines
    assert started.endswith(" -d") and asked.endswith(" said") and told.endswith(" said") and last == "quit"
    assert len({line.rpartition(" ")[0] for line in (started, asked, told)}) == 1
    assert not Path(started.split()[0]).exists(), "the daemon's folders stayed"


def test_the_command_finds_a_daemon_of_its_own_which_ends_with_it(calls):
    names = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE")
    code = f"import os; print(*(os.environ.get(name) for name in {names}))"
    done = _share("--", sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    pipe, log, percentage = done.stdout.split()
    assert calls.read_text().startswith(f"{pipe} {log} -d\n") and percentage == "None"
    assert Path(pipe).parent == Path(log).parent and len(pipe) < 80
    _require_started_and_quit(calls)


@pytest.mark.parametrize("code", [1, 7])
def test_a_failing_command_gives_its_exit_code_and_the_daemon_is_told_to_quit(calls, code):
    assert _share("--", sys.executable, "-c", f"raise SystemExit({code})").returncode == code
    _require_started_and_quit(calls)


def test_a_command_that_a_signal_ends_gives_128_and_its_number(calls):
    assert (
        _share("--", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)").returncode
        == 128 + signal.SIGKILL
    )
    _require_started_and_quit(calls)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_command_once_and_the_daemon_is_told_to_quit_after_it(calls, tmp_path, number):
    code = (
        "import signal, sys, time\n"
        "count = []\n"
        f"signal.signal({int(number)}, lambda *_: count.append(1))\n"
        "print('ready', flush=True)\n"
        "while not count: time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        "print(len(count), 'quit' in open(sys.argv[1]).read(), flush=True)\n"
        "raise SystemExit(5)\n"
    )
    words = [
        sys.executable,
        "-m",
        "workflow_scripts.tools.share_gpu",
        "--",
        sys.executable,
        "-c",
        code,
        str(calls),
    ]
    running = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "ready\n"
    running.send_signal(number)
    said, _ = running.communicate(timeout=60)
    assert (running.returncode, said) == (5, "1 False\n")
    _require_started_and_quit(calls)


def test_a_signal_while_the_daemon_starts_reaches_the_command_as_well(calls, tmp_path):
    program = tmp_path / "bin" / "nvidia-cuda-mps-control"
    program.write_text(STAND_IN.replace("    sleep 300 &", "    sleep 1; sleep 300 &"))
    words = [sys.executable, "-m", "workflow_scripts.tools.share_gpu", "--", "sleep", "100"]
    running = subprocess.Popen(words, cwd=ROOT)
    while not calls.exists():
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=60) == 128 + signal.SIGTERM
    _require_started_and_quit(calls)


def test_ctrl_c_in_a_terminal_ends_the_jobs_of_the_command_too(calls, tmp_path):
    """As Snakemake's jobs: children that the command leaves to the signal that all of a foreground job get."""
    code = f"import subprocess, sys; subprocess.run(['sh', '-c', 'echo $$ > {tmp_path}/job; exec sleep 300'])"
    words = [sys.executable, "-m", "workflow_scripts.tools.share_gpu", "--", sys.executable, "-c", code]
    running = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not (tmp_path / "job").exists() or not (tmp_path / "job").read_text().endswith("\n"):
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 128 + signal.SIGINT
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "job").read_text()), 0)
    _require_started_and_quit(calls)


def _require_one_line(done: subprocess.CompletedProcess, *words: str) -> None:
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: share_gpu: ") and all(word in done.stderr for word in words)


def test_without_the_program_one_line_says_where_it_comes_from(calls, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    _require_one_line(_share("--", "true"), "nvidia-cuda-mps-control is not on the PATH", "NVIDIA's driver")


def test_a_daemon_that_does_not_start_is_one_line_and_nothing_is_run(calls, tmp_path, monkeypatch):
    monkeypatch.setenv("FAILS", "1")
    done = _share("--", "touch", str(tmp_path / "ran"))
    _require_one_line(done, "did not start a daemon", "no device that could be shared")
    assert not (tmp_path / "ran").exists()


def test_a_daemon_that_is_gone_at_once_is_noticed(calls, tmp_path):
    program = tmp_path / "bin" / "nvidia-cuda-mps-control"
    program.write_text(STAND_IN.replace('echo $! > "$CUDA_MPS_PIPE_DIRECTORY/pid"', "kill $!"))
    _require_one_line(_share("--", "touch", str(tmp_path / "ran")), "did not start a daemon")
    assert not (tmp_path / "ran").exists()


def test_where_a_gpu_is_shared_already_the_command_is_to_be_run_by_itself(calls, monkeypatch):
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", "/somewhere")
    _require_one_line(_share("--", "true"), "/somewhere", "run the command by itself")
    assert not calls.exists()


def test_a_command_that_is_not_there_is_one_line_and_the_daemon_is_told_to_quit(calls):
    _require_one_line(
        _share("--", "no-such-command"), "cannot run no-such-command: No such file or directory"
    )
    _require_started_and_quit(calls)


@pytest.mark.parametrize("words", [[], ["--"], ["true"]])
def test_nothing_to_run_is_bad_usage(calls, words):
    done = _share(*words)
    assert done.returncode == 2 and done.stderr.startswith("usage: ") and not calls.exists()


def test_a_temporary_folder_too_deep_for_sockets_is_one_line(calls, tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    _require_one_line(_share("--", "true"), "set TMPDIR to a shorter one")
