"""A project in a temporary folder, fresh or with a finished smoke run in it; and one thread, as every step has."""

import os
import shutil
from pathlib import Path

import pytest

from tests.workflow.projects import copy_project, snakemake

# Read when torch is imported. Threads that wait for each other on busy cores take minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")


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
