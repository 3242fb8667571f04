"""Copies of the project, and the real Snakemake run in them."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRESETS = "config/study/MS1_min_snr/presets"
SMOKE = f"{PRESETS}/smoke.yaml"
COMPUTED = ("results", "reports/MS1_min_snr", ".venv", ".snakemake", ".git")


def copy_project(target: Path) -> Path:
    """Copy the project's own files, without anything computed."""
    skip = {ROOT / name for name in COMPUTED}

    def ignore(folder, names):
        return [
            name for name in names if Path(folder) / name in skip or name in ("__pycache__", ".pytest_cache")
        ]

    shutil.copytree(ROOT, target, ignore=ignore)
    return target


def edit(path: Path, old: str, new: str) -> None:
    """Replace the only `old` in the file."""
    text = path.read_text()
    assert text.count(old) == 1, f"{path} does not hold {old!r} once"
    path.write_text(text.replace(old, new))


def venv_environment() -> dict[str, str]:
    """This process's environment as in the activated venv, without a PYTHONPATH that names another copy."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    return environment


def run_module(
    project: Path, module: str, *arguments: str, search: Path | None = None, **options
) -> subprocess.CompletedProcess:
    """Run `python -m <module>` inside the project, as in the activated venv, and capture what it says.

    `search` is a folder whose packages are found before the installed ones.
    """
    environment = venv_environment()
    if search is not None:
        environment["PYTHONPATH"] = str(search)
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, **options)


def snakemake(
    project: Path, *arguments: str, config: str = "preset=smoke", cores: str = "2", **options
) -> subprocess.CompletedProcess:
    """Run Snakemake in the project; what it says is in stdout and stderr."""
    settings = ["--config", *config.split()] if config else []
    return run_module(project, "snakemake", "--cores", cores, *arguments, *settings, **options)


def start_snakemake(project: Path, *arguments: str) -> subprocess.Popen:
    """Start Snakemake in the background, on one core; it says everything on stdout."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments, "--config", "preset=smoke"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=project, env=venv_environment(), **pipes)


def said(result: subprocess.CompletedProcess) -> str:
    return result.stdout + result.stderr


def refused(result: subprocess.CompletedProcess) -> str:
    """The one line with which a run that failed says why; that line may come twice."""
    assert result.returncode == 1 and "Traceback" not in said(result), said(result)
    (line,) = {line for line in said(result).splitlines() if line.startswith("error: ")}
    return line


def wait_for(
    condition, process=None, seconds=120, explain=lambda: "it took too long, or ended before"
) -> None:
    """Wait until `condition()` holds; AssertionError when `process` ends first, or after `seconds`."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until and (process is None or process.poll() is None), explain()
        time.sleep(0.05)
