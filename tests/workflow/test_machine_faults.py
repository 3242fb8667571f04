"""Faults of the machine: full and read-only disks, killed processes, two runs at once, odd words typed.

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
import time
from pathlib import Path

import pytest

from tests.workflow.projects import run_module, snakemake, venv_environment

RESULTS = "results/MS1_min_snr/smoke"
REPORT = "reports/MS1_min_snr/smoke"
RUN = f"{RESULTS}/runs/E1_baseline_linear/seed1077"
SAMPLES = f"{RUN}/samples/ddpm_nfe0050.npz"
SAMPLE_LOG = f"{RESULTS}/logs/sample_images/E1_baseline_linear_seed1077_ddpm_nfe0050.log"
ONLY_SAMPLES = ("--force", SAMPLES, "--allowed-rules", "sample_images")


def said(result) -> str:
    return result.stdout + result.stderr


def error_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("error: ")]


def files_below(folder: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def can_mount() -> bool:
    """Whether this process may mount: as root in most containers, elsewhere with user namespaces."""
    for flags in (["--mount"], ["--user", "--map-root-user", "--mount"]):
        with contextlib.suppress(OSError):
            if (
                subprocess.run(
                    ["unshare", *flags, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True
                ).returncode
                == 0
            ):
                can_mount.flags = flags
                return True
    return False


def with_mounts(project: Path, before: str, after: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run Snakemake after the shell commands `before`, whose mounts nobody else sees; then run `after`."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments, "--config", "preset=smoke"]
    script = f"set -e\n{before}\nset +e\n{shlex.join(command)}\ncode=$?\n{after}\nexit $code"
    return subprocess.run(
        ["unshare", *can_mount.flags, "sh", "-c", script],
        cwd=project,
        env=venv_environment(),
        capture_output=True,
        text=True,
    )


needs_mounts = pytest.mark.skipif(not can_mount(), reason="this machine lets nobody mount")


@needs_mounts
def test_read_only_results_are_said_and_nothing_changes(finished):
    """Permissions do not bind root, a read-only mount does."""
    before = files_below(finished / RESULTS)
    mount = f"mount --bind {RESULTS} {RESULTS} && mount -o remount,bind,ro {RESULTS}"
    result = with_mounts(finished, mount, "", *ONLY_SAMPLES)
    assert result.returncode == 1 and "Traceback" not in said(result)
    assert "Write-protected output files" in said(result) and SAMPLES in said(result)  # Snakemake's own words
    assert files_below(finished / RESULTS) == before


@needs_mounts
def test_a_folder_that_becomes_read_only_below_the_results(finished):
    """Said before the first job, and not when hours of work are to be written down."""
    before = files_below(finished / RUN)
    folder = Path(SAMPLES).parent
    (finished / SAMPLES).rename(finished / RUN / "kept.npz")  # Snakemake would fail at deleting it
    mount = f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"
    result = with_mounts(finished, mount, "", SAMPLES, "--allowed-rules", "sample_images")
    (finished / RUN / "kept.npz").rename(finished / SAMPLES)
    assert result.returncode == 1 and "Traceback" not in said(result)
    (line,) = error_lines(said(result))
    assert line.startswith(f"error: cannot write in {folder}: Read-only file system; make room or fix")
    assert files_below(finished / RUN) == before


def test_a_file_where_a_folder_belongs_is_said(finished):
    """What root meets where it may write everywhere: the path itself is in the way."""
    shutil.rmtree(finished / RUN / "samples")
    (finished / RUN / "samples").write_text("not a folder")
    result = snakemake(finished, SAMPLES, "--allowed-rules", "sample_images")
    assert result.returncode == 1 and "Traceback" not in said(result)
    (line,) = error_lines(said(result))
    assert line == f"error: {RUN}/samples is a file where a folder belongs; move it away and run again"
    assert (finished / RUN / "samples").read_text() == "not a folder"


@needs_mounts
def test_a_disk_that_fills_up_while_samples_are_written(finished):
    folder = Path(SAMPLES).parent
    result = with_mounts(
        finished,
        f"mount -t tmpfs -o size=8k tmpfs {folder}",
        f"find {folder} -type f | sed s/^/left:/",
        SAMPLES,
        "--allowed-rules",
        "sample_images",
    )
    assert result.returncode == 1 and "Traceback" not in said(result)
    (line,) = set(error_lines(said(result)))
    assert line.startswith("error: sample_images: cannot write") and "No space left on device" in line
    assert line.endswith("nothing was left half-written, make room or fix the permissions and run again")
    left = [line for line in said(result).splitlines() if line.startswith("left:")]
    # whole chunks of finished images may stay, for the next run
    assert all(re.search(r"\.chunks/[0-9a-f]+/\d{8}-\d{8}\.npz$", line) for line in left), left


@needs_mounts
def test_a_disk_that_is_full_when_the_report_is_written(finished):
    """The folder is copied onto a small disk, and the room that is left is filled."""
    (finished / REPORT / "report.html").unlink()
    kib = sum(path.stat().st_size for path in (finished / REPORT).rglob("*")) // 1024
    fill = (
        f"cp -a {REPORT} full && mount -t tmpfs -o size={2 * kib + 4000}k tmpfs {REPORT}\n"
        f"cp -a full/. {REPORT}\n"
        f"dd if=/dev/zero of={REPORT}/filler bs=4k 2>/dev/null || true"
    )
    left = f"find {REPORT} -type f -name '*report.html*' ! -name '*manifest*' | sed s/^/left:/"
    result = with_mounts(finished, fill, left, f"{REPORT}/report.html", "--allowed-rules", "build_report")
    assert result.returncode == 1 and "Traceback" not in said(result)
    (line,) = set(error_lines(said(result)))
    assert line.startswith("error: build_report: cannot write") and "No space left on device" in line
    assert "left:" not in said(result)
    again = snakemake(finished, f"{REPORT}/report.html", "--allowed-rules", "build_report")
    assert again.returncode == 0, said(again)
    assert (finished / REPORT / "report.html").is_file()


# --- processes that die, and processes that meet


class Running:
    """Snakemake at work on samples; the step is paused when a part of them is drawn, until it may go on.

    Paused, because a fast machine would draw the rest while a test does something else.
    """

    def __init__(self, project: Path):
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--cores",
            "1",
            *ONLY_SAMPLES,
            "--config",
            "preset=smoke",
        ]
        self.project = project
        self.process = subprocess.Popen(
            command,
            cwd=project,
            env=venv_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
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

    def end(self) -> tuple[int, str]:
        text, _ = self.process.communicate(timeout=120)
        return self.process.returncode, text


def read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def wait_for(condition, process=None, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


@pytest.fixture
def long_sampling(finished):
    """A finished run of which one sampling is to be done again, in 15 chunks instead of one."""
    preset = finished / "config/preset/smoke.yaml"
    text = preset.read_text()
    assert "num_samples: 100" in text and "batch_size: 100" in text
    preset.write_text(text.replace("num_samples: 100", "num_samples: 1500"))
    return finished


def half_written(project: Path) -> list[Path]:
    """Temporary files that a writer left; chunks are whole, and so is an earlier manifest."""
    found = (project / RUN / "samples").rglob(".*.npz*")
    return [path for path in found if path.is_file() and not path.name.endswith(".previous")]


def test_a_step_that_is_killed_is_told_and_the_next_run_goes_on(long_sampling):
    running = Running(long_sampling)
    os.kill(running.step(), signal.SIGKILL)
    code, text = running.end()
    assert code == 1 and "Traceback" not in text
    (line,) = error_lines(text)
    assert (
        line.startswith("error: sample_images: was killed before it reported an error") and SAMPLE_LOG in line
    )
    assert not (long_sampling / SAMPLES).exists() and half_written(long_sampling) == []

    again = snakemake(long_sampling, *ONLY_SAMPLES)
    assert again.returncode == 0, said(again)
    assert (long_sampling / SAMPLES).is_file()
    assert (
        sorted(path.name for path in (long_sampling / RUN / "samples").iterdir() if path.name.startswith("."))
        == []
    )


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
    wait_for(lambda: not Path(f"/proc/{step}").exists() or "Z" in read(Path(f"/proc/{step}/stat")))
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
    code, text = running.end()
    assert code == 1 and "Traceback" not in text
    (line,) = set(error_lines(text))  # said by the step, and again at the end
    assert f"the input {RUN}/checkpoints/step0000040.pt changed while the step ran" in line and line.endswith(
        "run again"
    )
    assert (
        not (long_sampling / SAMPLES).exists() and not (long_sampling / f"{SAMPLES}.manifest.json").exists()
    )
    (long_sampling / "kept.pt").rename(checkpoint)
    assert snakemake(long_sampling, *ONLY_SAMPLES).returncode == 0


# --- what people type


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
    preset = project / "config/preset/smoke.yaml"
    text = preset.read_text()
    start, end = text.index("extractor:"), text.index("model:")
    weights = "w $(touch X)'s.pth"
    extractor = f'extractor: {{name: fid, kind: inception, feature_dim: 2048, weights: "{weights}"}}\n'
    preset.write_text(f"{text[:start]}{extractor}{text[end:]}")
    result = snakemake(project, f"{RESULTS}/extractor/extractor.pt", "-n", "-p", "--quiet", "host")
    assert result.returncode == 0, said(result)
    commands = [
        line for line in said(result).splitlines() if "workflow_scripts.steps.train_extractor" in line
    ]
    assert commands and weights in shlex.split(commands[0].partition("Shell command: ")[2])
    assert not list(project.rglob("X"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("preset=$(touch X)", "preset is '$(touch X)', must match"),
        ("data_root={a: 1}", "data_root is {'a': '1'}, must be text"),
    ],
)
def test_anything_typed_after_config_is_one_line(project, config, message):
    result = run_module(project, "snakemake", "--cores", "1", "-n", "--config", "preset=smoke", config)
    assert result.returncode == 1 and "Traceback" not in said(result)
    (line,) = [line for line in said(result).splitlines() if "error:" in line]
    assert message in line
    assert not list(project.rglob("X")) and not (project / "results/MS1_min_snr").exists()


def test_an_arm_named_like_a_command_is_refused(project):
    folder = project / "config/study/MS1_min_snr"
    shutil.copy(folder / "E1_baseline_linear.yaml", folder / "E1_$(touch X).yaml")
    result = snakemake(project, "-n")
    assert result.returncode == 1 and "an arm's name may hold letters, digits and _; rename the file" in said(
        result
    )
    assert not list(project.rglob("X"))
