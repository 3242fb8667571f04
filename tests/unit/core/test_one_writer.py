import errno
import os
import subprocess
import sys
import time

import pytest

from workflow_scripts.core import one_writer
from workflow_scripts.core.one_writer import take_turn

HOLDER = """
import sys, time
from workflow_scripts.core.one_writer import take_turn
lock = take_turn(sys.argv[1], print)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "step.lock"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_waits_says_for_whom_and_goes_on_when_the_first_is_killed(tmp_path, holder):
    said = []

    def say(line):
        said.append(line)
        assert f"process {holder.pid} on " in line and "makes the same outputs" in line
        time.sleep(0.2)
        holder.kill()

    with take_turn(tmp_path / "step.lock", say) as lock:
        assert len(said) == 1 and holder.wait() == -9
        lock.seek(0)
        assert lock.read().startswith(f"process {os.getpid()} on ")


def test_nothing_is_said_and_the_job_is_named_when_nobody_else_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    take_turn(tmp_path / "new" / "step.lock", pytest.fail).close()
    with take_turn(tmp_path / "new" / "step.lock", pytest.fail) as lock:
        lock.seek(0)
        assert lock.read().endswith(", SLURM job 17")


def test_a_file_system_without_locks_is_told_and_does_not_stop_the_step(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(one_writer.fcntl, "flock", refuse)
    said = []
    take_turn(tmp_path / "step.lock", said.append).close()
    assert len(said) == 1 and "has no locks (No locks available)" in said[0]


def test_another_error_is_not_taken_for_a_missing_lock_service(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(one_writer.fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output error"):
        take_turn(tmp_path / "step.lock", pytest.fail)
