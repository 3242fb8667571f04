"""One SLURM for all tests of this folder; they are skipped, with the reason, where it cannot be started."""

import pytest

from tests.cluster import one_node_slurm


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    if reason := one_node_slurm.missing():
        pytest.skip(reason)
    with one_node_slurm.running(tmp_path_factory.mktemp("slurm")) as running:
        yield running
