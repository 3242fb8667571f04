"""One SLURM for all tests of this folder; they are skipped, with the reason, where it cannot be started."""

from pathlib import Path

import pytest

from tests.cluster import one_node_slurm


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(config, items):
    """One worker takes all tests of this folder: two SLURMs on one machine would share its cores, and most of it is waiting."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.xdist_group("slurm"))


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    if reason := one_node_slurm.missing():
        pytest.skip(reason)
    with one_node_slurm.running(tmp_path_factory.mktemp("slurm")) as running:
        yield running
