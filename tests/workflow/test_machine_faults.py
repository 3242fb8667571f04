"""Faults of the machine: full and read-only disks, killed processes, two runs at once, odd paths.

Each test asserts what is said, the exit code, and what is left on disk.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.projects import (
    SMOKE,
    edit,
    refused,
    run_module,
    said,
    snakemake,
    start_snakemake,
    venv_environment,
    wait_for,
)

RESULTS = "results/MS1_min_snr/smoke"
RUN = f"{RESULTS}/runs/E1_baseline_linear/seed1077"
SAMPLES = f"{RUN}/samples/ddpm_nfe0050.npz"
SAMPLE_LOG = f"{RESULTS}/logs/sample_images/E1_baseline_linear_seed1077_ddpm_nfe0050.log"
ONLY_SAMPLES = ("--force", SAMPLES, "--allowed-rules", "sample_images")


def files_below(folder: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def mount_flags() -> list[str]:
    """Flags with which unshare may mount: as root in most containers, elsewhere with user namespaces."""
    for flags in (["--mount"], ["--user", "--map-root-user", "--mount"]):
        command = ["unshare", *flags, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        with contextlib.suppress(OSError):
            if subprocess.run(command, capture_output=True).returncode == 0:
                return flags
    return []


MOUNT_FLAGS = mount_flags()
needs_mounts = pytest.mark.skipif(not MOUNT_FLAGS, reason="this machine lets nobody mount")


def with_mounts(project: Path, before: str, after: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run Snakemake after the shell commands `before`, whose mounts nobody else sees; then run `after`."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments, "--config", "preset=smoke"]
    script = f"set -e\n{before}\nset +e\n{shlex.join(command)}\ncode=$?\n{after}\nexit $code"
    words = ["unshare", *MOUNT_FLAGS, "sh", "-c", script]
    return subprocess.run(words, cwd=project, env=venv_environment(), capture_output=True, text=True)


def read_only(folder: str | Path) -> str:
    """The command that mounts a folder read-only, which binds root too, as permissions do not."""
    return f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"


@needs_mounts
def test_read_only_results_are_said_and_nothing_changes(finished):
    before = files_below(finished / RESULTS)
    result = with_mounts(finished, read_only(RESULTS), "", *ONLY_SAMPLES)
    assert result.returncode == 1 and "Traceback" not in said(result)
    assert "Write-protected output files" in said(result) and SAMPLES in said(result)  # Snakemake's own words
    assert files_below(finished / RESULTS) == before


@needs_mounts
def test_a_folder_that_becomes_read_only_below_the_results(finished):
    """Said before the first job, not after hours of work."""
    before = files_below(finished / RUN)
    folder = Path(SAMPLES).parent
    (finished / SAMPLES).rename(finished / RUN / "kept.npz")  # Snakemake would fail at deleting it
    line = refused(with_mounts(finished, read_only(folder), "", SAMPLES, "--allowed-rules", "sample_images"))
    (finished / RUN / "kept.npz").rename(finished / SAMPLES)
    assert line.startswith(f"error: cannot write in {folder}: Read-only file system; make room or fix")
    assert files_below(finished / RUN) == before


def test_a_file_where_a_folder_belongs_is_said(finished):
    shutil.rmtree(finished / RUN / "samples")
    (finished / RUN / "samples").write_text("not a folder")
    line = refused(snakemake(finished, SAMPLES, "--allowed-rules", "sample_images"))
    assert line == f"error: {RUN}/samples is a file where a folder belongs; move it away and run again"
    assert (finished / RUN / "samples").read_text() == "not a folder"


@needs_mounts
def test_a_disk_that_fills_up_while_samples_are_written(finished):
    folder = Path(SAMPLES).parent
    small = f"mount -t tmpfs -o size=8k tmpfs {folder}"
    left = f"find {folder} -type f | sed s/^/left:/"
    result = with_mounts(finished, small, left, SAMPLES, "--allowed-rules", "sample_images")
    line = refused(result)
    assert line.startswith("error: sample_images: cannot write") and "No space left on device" in line
    assert line.endswith("nothing was left half-written, make room or fix the permissions and run again")
    # whole chunks of finished images may stay, for the next run
    left = [line for line in said(result).splitlines() if line.startswith("left:")]
    assert all(re.search(r"\.chunks/[0-9a-f]+/\d{8}-\d{8}\.npz$", line) for line in left), left


# --- processes that die, and processes that meet


class Running:
    """Snakemake at work on samples; the step is paused when a part of them is drawn, until it may go on.

    Paused, because a fast machine would draw the rest while a test does something else.
    """

    def __init__(self, project: Path):
        self.project = project
        self.process = start_snakemake(project, *ONLY_SAMPLES)
        wait_for(lambda: list((project / SAMPLES).parent.glob(".*.chunks/*/0*.npz")), self.process)
        os.kill(self.step(), signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.step(), signal.SIGCONT)

    def step(self) -> int:
        """The number of the process that samples."""
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (path / "cmdline").read_bytes().split(b"\0")
                if (
                    b"workflow_scripts.steps.sample_images" in words
                    and (path / "cwd").resolve() == self.project.resolve()
                ):
                    return int(path.name)
        raise AssertionError("no step is running")

    def refusal(self) -> str:
        text, _ = self.process.communicate(timeout=120)
        return refused(subprocess.CompletedProcess(self.process.args, self.process.returncode, text, ""))


def ended(process: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True


@pytest.fixture
def long_sampling(finished):
    """A finished run of which one sampling is to be done again, in 15 chunks instead of one."""
    edit(finished / SMOKE, "num_samples: 100", "num_samples: 1500")
    return finished


def half_written(project: Path) -> list[Path]:
    """Temporary files that a writer left; chunks are whole, and so is an earlier manifest."""
    found = (project / RUN / "samples").rglob(".*.npz*")
    return [path for path in found if path.is_file() and not path.name.endswith(".previous")]


def test_a_step_that_is_killed_is_told_and_the_next_run_goes_on(long_sampling):
    running = Running(long_sampling)
    os.kill(running.step(), signal.SIGKILL)
    line = running.refusal()
    assert line.startswith("error: sample_images: was killed before it reported an error")
    assert SAMPLE_LOG in line
    assert not (long_sampling / SAMPLES).exists() and half_written(long_sampling) == []

    again = snakemake(long_sampling, *ONLY_SAMPLES)
    assert again.returncode == 0 and (long_sampling / SAMPLES).is_file(), said(again)
    assert list((long_sampling / RUN / "samples").glob(".*")) == []


def test_a_step_that_does_not_start_is_not_called_killed(project):
    (project / "workflow_scripts/steps/check_preregistration.py").write_text("raise SystemExit(3)\n")
    line = refused(snakemake(project, f"{RESULTS}/gate.json"))
    assert line.startswith("error: check_preregistration: did not start, as is said above; see ")


def test_two_runs_at_once_and_a_run_after_one_that_was_killed(long_sampling):
    running = Running(long_sampling)
    second = snakemake(long_sampling, *ONLY_SAMPLES)
    assert second.returncode == 1 and "Traceback" not in said(second)
    # Snakemake's own words
    assert "make sure that no other Snakemake process is trying to create the same files" in said(second)
    assert running.process.poll() is None  # the first one was left alone

    step = running.step()
    running.process.kill()
    os.kill(step, signal.SIGKILL)
    running.process.wait()
    wait_for(lambda: ended(step))
    after = snakemake(long_sampling, *ONLY_SAMPLES)
    assert after.returncode == 1 and not (long_sampling / SAMPLES).exists()
    assert "likely caused by a kill signal" in said(after) and "--unlock" in said(after)

    assert run_module(long_sampling, "snakemake", "--unlock", "--config", "preset=smoke").returncode == 0
    last = snakemake(long_sampling, *ONLY_SAMPLES)
    assert last.returncode == 0, said(last)
    assert (long_sampling / SAMPLES).is_file() and half_written(long_sampling) == []


def test_an_input_that_is_deleted_while_a_step_reads_it(long_sampling):
    checkpoint = long_sampling / RUN / "checkpoints/step0000040.pt"
    running = Running(long_sampling)
    checkpoint.rename(long_sampling / "kept.pt")
    running.go_on()
    line = running.refusal()
    assert f"the input {RUN}/checkpoints/step0000040.pt changed while the step ran" in line
    assert line.endswith("run again")
    assert not (long_sampling / SAMPLES).exists()
    assert not (long_sampling / f"{SAMPLES}.manifest.json").exists()
    (long_sampling / "kept.pt").rename(checkpoint)
    assert snakemake(long_sampling, *ONLY_SAMPLES).returncode == 0


# --- what people type


@pytest.mark.parametrize("home", ["/dev/null", "/proc"])
def test_a_home_folder_that_cannot_be_written_is_not_needed(project, monkeypatch, home):
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    result = snakemake(project, f"{RESULTS}/data/train.npz")
    assert result.returncode == 0 and (project / RESULTS / "data/train.npz").is_file(), said(result)


def test_settings_reach_a_step_in_every_locale(project, monkeypatch):
    """LC_ALL=C stands for ISO-8859-1, which cannot encode a γ either and is not on every machine."""
    base = project / "config/study/MS1_min_snr/base.yaml"
    base.write_text(re.sub("^title: .*$", 'title: "γ and é"', base.read_text(), flags=re.MULTILINE))
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setenv("PYTHONCOERCECLOCALE", "0")
    result = snakemake(project, f"{RESULTS}/gate.json")
    assert result.returncode == 0, said(result)
    assert "γ" in (project / f"{RESULTS}/gate.json.manifest.json").read_text("utf-8")


def test_paths_are_data_and_never_commands(project):
    """A data root with a space, quotes and a command in it, all the way through Snakemake's shell."""
    root = "a b$(touch X)'\"`touch X`;touch X"
    result = run_module(
        project, "snakemake", "--cores", "1", "data", "--config", "preset=smoke", f"data_root={root}"
    )
    assert result.returncode == 0, said(result)
    assert (project / RESULTS / "data/train.npz").is_file()
    assert not list(project.rglob("X"))


def test_a_weights_path_is_one_word_of_the_command(project):
    """Read off the commands that a dry run prints, because the real ones need weights that are not here."""
    preset = project / SMOKE
    weights = "w $(touch X)'s.pth"
    extractor = f'name: fid\n  kind: inception\n  feature_dim: 2048\n  weights: "{weights}"'
    preset.write_text(preset.read_text().replace("extractor:\n", f"extractor:\n  {extractor}\n"))
    result = snakemake(project, f"{RESULTS}/extractor/extractor.pt", "-n", "-p", "--quiet", "host")
    assert result.returncode == 0, said(result)
    commands = [
        line for line in said(result).splitlines() if "workflow_scripts.steps.train_extractor" in line
    ]
    assert commands and weights in shlex.split(commands[0].partition("Shell command: ")[2])
    assert not list(project.rglob("X"))
