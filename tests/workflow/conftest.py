"""A project in a temporary folder, and a real Snakemake in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RENDERED = ("results", "reports/MS1_min_snr", ".venv", ".snakemake", ".git")


def copy_project(target: Path) -> Path:
    """Copy the project's own files, without anything computed."""
    skip = {ROOT / name for name in RENDERED}

    def ignore(folder, names):
        return [name for name in names if Path(folder) / name in skip or name in ("__pycache__", ".pytest_cache")]

    shutil.copytree(ROOT, target, ignore=ignore)
    return target


def run_module(project: Path, module: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    """Run `python -m <module>` inside the project, as in the activated venv, and capture what it says."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=project, env=environment, capture_output=True, text=True, **options
    )


def snakemake(project: Path, *arguments: str, config: str = "preset=smoke", cores: str = "2") -> subprocess.CompletedProcess:
    """Run Snakemake in the project; what it says is in stdout and stderr."""
    return run_module(project, "snakemake", "--cores", cores, *arguments, *(["--config", *config.split()] if config else []))


@pytest.fixture
def project(tmp_path) -> Path:
    """A fresh copy of the project, nothing computed."""
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """(project, what Snakemake said) of one finished smoke run; for reading only."""
    project = copy_project(tmp_path_factory.mktemp("smoke") / "project")
    finished = snakemake(project)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return project, finished


@pytest.fixture
def finished(smoke_run, tmp_path) -> Path:
    """A copy of the finished smoke run that a test may change; file times are kept."""
    return shutil.copytree(smoke_run[0], tmp_path / "project", copy_function=shutil.copy2)
