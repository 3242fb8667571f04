"""How entry points are called and how they end: one line and an honest exit code."""

import os
import signal
import subprocess
import sys
import time

import pytest

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import atomic_path
from workflow_scripts.core.progress import Progress
from workflow_scripts.core.step import Step, run


def _call(main, *arguments):
    with pytest.raises(SystemExit) as end:
        run(main, list(arguments))
    return end.value.code


def test_settings_and_paths_reach_the_step(tmp_path):
    seen = []

    def main(step: Step) -> None:
        seen.append(step)

    run(
        main,
        [
            "--settings",
            '{"data": {"size": 8}}',
            "--input",
            "rows",
            "a",
            "b",
            "--output",
            "out",
            "c",
            "--threads",
            "2",
        ],
    )
    (step,) = seen
    assert step.setting("data.size") == 8 and [str(path) for path in step.inputs["rows"]] == ["a", "b"]
    assert str(step.output("out")) == "c" and step.threads == 2
    with pytest.raises(PipelineError, match="--input rows PATH, got 2"):
        step.input("rows")
    with pytest.raises(PipelineError, match="data.colour"):
        step.setting("data.colour")


def test_an_error_is_one_line_on_screen_and_in_the_log(tmp_path, capsys):
    def main(step: Step) -> None:
        raise PipelineError("samples.npz is damaged; delete it")

    assert _call(main, "--settings", "{}", "--log", str(tmp_path / "logs" / "step.log")) == 1
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and error.endswith("samples.npz is damaged; delete it")
    assert (tmp_path / "logs" / "step.log").read_text().strip() == error


def test_a_bug_keeps_its_traceback_in_the_log(tmp_path):
    def main(step: Step) -> None:
        raise KeyError("a bug")

    assert _call(main, "--settings", "{}", "--log", str(tmp_path / "step.log")) == 1
    assert "Traceback" in (tmp_path / "step.log").read_text()


def test_interrupt_and_memory_have_their_own_ends(capsys):
    def interrupted(step: Step) -> None:
        raise KeyboardInterrupt

    def hungry(step: Step) -> None:
        raise MemoryError

    assert _call(interrupted, "--settings", "{}") == 130
    assert _call(hungry, "--settings", "{}") == 1
    assert "CORES=1" in capsys.readouterr().err


def test_sigterm_ends_a_step_in_one_line_and_leaves_nothing_half_written(tmp_path, capsys):
    def main(step: Step) -> None:
        with atomic_path(tmp_path / "samples.npz") as temporary:
            temporary.write_text("half of it")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)

    handler = signal.getsignal(signal.SIGTERM)
    assert _call(main, "--settings", "{}") == 143
    assert capsys.readouterr().err.strip().endswith("stopped by SIGTERM; nothing half-written was left")
    assert list(tmp_path.iterdir()) == [] and signal.getsignal(signal.SIGTERM) is handler


def test_what_a_step_needs_to_go_on_is_tidied_up_only_after_all_went_well(tmp_path):
    source, calls = tmp_path / "in.txt", []

    def main(step: Step) -> None:
        step.afterwards.append(lambda: calls.append("tidied"))
        if step.setting("spoil"):
            source.write_text("something else")

    source.write_text("input")
    arguments = ["--input", "source", str(source)]
    run(main, ["--settings", '{"spoil": false}', *arguments])
    assert calls == ["tidied"]
    assert _call(main, "--settings", '{"spoil": true}', *arguments) == 1
    assert calls == ["tidied"]


def test_bad_usage_is_exit_code_2():
    result = subprocess.run(
        [sys.executable, "-m", "workflow_scripts.steps.collect_results", "--settings", "{not json"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and "--settings is neither JSON" in result.stderr


def test_progress_tells_rate_and_time_left(capsys):
    progress = Progress("train", 100, "steps", every_s=0.0)
    progress.update(50, "loss 0.5")
    progress.update(100)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("train: 50/100 steps, loss 0.5, ") and first.endswith("s left")
    assert "steps/s, took" in last


def test_progress_without_a_total_tells_count_and_rate(capsys):
    Progress("read", None, "images", every_s=0.0).update(50)
    Progress("read", None, "images", every_s=60.0).update(50)  # too early to say anything
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("read: 50 images, ") and line.endswith("images/s")
