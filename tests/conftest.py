"""Fixtures: a project, fresh or with a finished smoke run; what tests show; one thread, as every step has."""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.workflow.projects import copy_project, said, snakemake

# Read when torch is imported. Threads that wait for each other on busy cores take minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_make_scheduler(config, log):
    """Give tests one by one to free workers, but all of SLURM's to one, and all of the house study to one."""
    from xdist.scheduler import LoadScopeScheduling

    class TogetherOnOneWorker(LoadScopeScheduling):
        # xdist_group marks go unseen: pytest-xdist 3.8 renames tests in a way that pytest 9 ignores
        def _split_scope(self, nodeid):
            together = ("tests/cluster/", "tests/workflow/test_house.py")
            return next((path for path in together if nodeid.startswith(path)), nodeid)

    return TogetherOnOneWorker(config, log)


@pytest.fixture
def show(record_property):
    """`show(text)` prints at the end of the test run what a test measured, whichever worker ran it."""
    return lambda text: record_property("shown", text)


def pytest_terminal_summary(terminalreporter):
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if getattr(report, "when", None) == "call":
            for name, text in report.user_properties:
                if name == "shown":
                    terminalreporter.write_line(f"\n{text}")


@pytest.fixture
def project(tmp_path) -> Path:
    """A fresh copy of the project, nothing computed."""
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """(project, what Snakemake said) of one smoke run; read only, shared by the workers of a test run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "smoke"
    words = folder / "said.txt"
    with FileLock(f"{folder}.lock"):
        if not words.exists():
            shutil.rmtree(folder, ignore_errors=True)  # another worker's, which failed
            finished = snakemake(copy_project(folder / "project"))
            assert finished.returncode == 0, said(finished)
            words.write_text(said(finished))
    return folder / "project", words.read_text()


@pytest.fixture
def finished(smoke_run, tmp_path) -> Path:
    """A copy of the finished smoke run that a test may change; file times are kept."""
    return shutil.copytree(smoke_run[0], tmp_path / "project", copy_function=shutil.copy2)
