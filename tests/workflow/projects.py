"""Copies of the project, and the real Snakemake run in them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RENDERED = ("results", "reports/MS1_min_snr", ".venv", ".snakemake", ".git")


def copy_project(target: Path) -> Path:
    """Copy the project's own files, without anything computed."""
    skip = {ROOT / name for name in RENDERED}

    def ignore(folder, names):
        return [
            name for name in names if Path(folder) / name in skip or name in ("__pycache__", ".pytest_cache")
        ]

    shutil.copytree(ROOT, target, ignore=ignore)
    return target


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
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        **options,
    )


def snakemake(
    project: Path, *arguments: str, config: str = "preset=smoke", cores: str = "2"
) -> subprocess.CompletedProcess:
    """Run Snakemake in the project; what it says is in stdout and stderr."""
    return run_module(
        project, "snakemake", "--cores", cores, *arguments, *(["--config", *config.split()] if config else [])
    )
