"""How entry points are called and end: one line and an honest exit code; and one writer at a time."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import atomic_path
from workflow_scripts.core.progress import Progress
from workflow_scripts.core.step import Step, run, take_turn


def _call(main, *arguments):
    with pytest.raises(SystemExit) as end:
        run(main, ["--settings", "{}", *arguments])
    return end.value.code


def test_settings_and_paths_reach_the_step():
    seen = []

    def main(step: Step) -> None:
        seen.append(step)

    arguments = ["--input", "rows", "a", "b", "--output", "out", "c", "--threads", "2"]
    run(main, ["--settings", '{"data": {"size": 8}}', *arguments])
    (step,) = seen
    assert step.setting("data.size") == 8 and [str(path) for path in step.inputs["rows"]] == ["a", "b"]
    assert str(step.output("out")) == "c" and step.threads == 2
    with pytest.raises(PipelineError, match="--input rows PATH, got 2"):
        step.input("rows")
    with pytest.raises(PipelineError, match="data.colour"):
        step.setting("data.colour")


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (PipelineError("samples.npz is damaged; delete it"), 1, "samples.npz is damaged; delete it"),
        (KeyError("a bug"), 1, "\nerror: test_step: this is a bug; please report it with the lines above"),
        (KeyboardInterrupt(), 130, "interrupted; nothing half-written was left"),
        (MemoryError(), 1, "use smaller batches or fewer parallel jobs (CORES=1)"),
    ],
)
def test_every_end_has_its_exit_code_and_says_the_same_on_screen_and_in_the_log(
    tmp_path, capsys, raised, code, said
):
    def main(step: Step) -> None:
        raise raised

    log = tmp_path / "logs" / "step.log"
    assert _call(main, "--log", str(log)) == code
    shown = capsys.readouterr().err.strip()
    assert shown.endswith(said) and log.read_text().strip() == shown
    assert ("\n" in shown) == ("Traceback" in shown) == isinstance(raised, KeyError)


def test_sigterm_ends_a_step_in_one_line_and_leaves_nothing_half_written(tmp_path, capsys):
    def main(step: Step) -> None:
        with atomic_path(tmp_path / "samples.npz") as temporary:
            temporary.write_text("half of it")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)

    handler = signal.getsignal(signal.SIGTERM)
    assert _call(main) == 143
    assert capsys.readouterr().err.strip().endswith("stopped by SIGTERM; nothing half-written was left")
    assert list(tmp_path.iterdir()) == [] and signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.parametrize("spoil", [False, True])
def test_files_for_resuming_are_tidied_up_only_after_all_went_well(tmp_path, spoil):
    source, calls = tmp_path / "in.txt", []
    source.write_text("input")

    def main(step: Step) -> None:
        step.afterwards.append(lambda: calls.append("tidied"))
        if spoil:
            source.write_text("something else")

    if spoil:
        assert _call(main, "--input", "source", str(source)) == 1 and calls == []
    else:
        run(main, ["--settings", "{}", "--input", "source", str(source)])
        assert calls == ["tidied"]


def test_bad_usage_is_exit_code_2(capsys):
    assert _call(test_bad_usage_is_exit_code_2, "--settings", "{not json") == 2
    assert "--settings is neither JSON" in capsys.readouterr().err


def test_progress_tells_rate_and_time_left_and_without_a_total_only_the_rate(capsys):
    progress = Progress("train", 100, "steps", every_s=0.0)
    progress.update(50, "loss 0.5")
    progress.update(100)
    Progress("read", None, "images", every_s=0.0).update(50)
    Progress("read", None, "images", every_s=60.0).update(50)  # too early to say anything
    first, last, counted = capsys.readouterr().err.splitlines()
    assert first.startswith("train: 50/100 steps, loss 0.5, ") and first.endswith("s left")
    assert "steps/s, took" in last
    assert counted.startswith("read: 50 images, ") and counted.endswith("images/s")


HOLDER = """
import sys
from pathlib import Path
from workflow_scripts.core.step import take_turn
lock = take_turn(Path(sys.argv[1]), print)
print("held", flush=True)
sys.stdin.read()
"""


def test_work_goes_on_when_nobody_reads_what_it_says(tmp_path):
    """`make report 2>&1 | head`, or a terminal that was closed."""
    read, write = os.pipe()
    os.close(read)
    code = "from workflow_scripts.core.progress import say; say('a', open('log', 'w')); print('on')"
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=write)
    os.close(write)
    assert (done.returncode, done.stdout, (tmp_path / "log").read_text()) == (0, b"on\n", "a\n")


def test_a_second_process_waits_says_for_whom_and_goes_on_when_the_first_is_killed(tmp_path):
    path, said = tmp_path / "step.lock", []
    command = [sys.executable, "-c", HOLDER, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"

        def say(line):
            said.append(line)
            holder.kill()

        lock = take_turn(path, say)
    (line,) = said
    assert f"process {holder.pid} on " in line and "makes the same outputs" in line
    assert lock.is_locked and path.read_text().startswith(f"process {os.getpid()} on ")


def test_a_lock_names_its_job_and_is_free_again_after_its_release(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    path = tmp_path / "new" / "step.lock"
    for _ in range(2):
        lock = take_turn(path, pytest.fail)
        assert path.read_text().endswith(", SLURM job 17")
        lock.release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_told_and_only_that(tmp_path, monkeypatch, number):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    said = []
    if number == errno.EIO:
        with pytest.raises(OSError, match="Input/output error"):
            take_turn(tmp_path / "step.lock", pytest.fail)
    else:
        take_turn(tmp_path / "step.lock", said.append)
        assert len(said) == 1 and f"cannot be locked ({os.strerror(number)})" in said[0]
