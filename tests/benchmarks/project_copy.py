"""A copy of the project to run in, with nothing computed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("rules", "config", "workflow_scripts", "docs", "profiles", "envs", "reports")


def copy_project(target: Path) -> Path:
    """Copy what a run needs, without results and rendered reports; returns `target`."""
    rendered = [path.parent.name for path in (ROOT / "reports").glob("*/*") if path.is_dir()]
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", *(rendered if name == "reports" else ()))
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    shutil.copy(ROOT / "Snakefile", target)
    return target


def snakemake(project: Path, *arguments: str, config: list[str]) -> subprocess.CompletedProcess:
    """Run Snakemake there; what it says is kept."""
    command = [sys.executable, "-m", "snakemake", *arguments, "--config", *config]
    return subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True)


def environment() -> dict[str, str]:
    """This environment, in which `python` is the interpreter that runs here."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
