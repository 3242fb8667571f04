"""The parts of Snakemake that core/snakemake_internals.py reads; tests/workflow/test_machine.py uses them."""

import inspect
from importlib.metadata import version

import snakemake.api  # also loads snakemake.workflow, which cannot be imported by itself


def test_snakemake_has_the_internals_that_were_read_in_9_27():
    """After an update of Snakemake, compare the module with its source, then change the version here."""
    assert version("snakemake").startswith("9.27.")
    assert all(hasattr(snakemake.workflow.DAG, name) for name in ("needrun_jobs", "jobs"))
    assert all(hasattr(snakemake.workflow.Workflow, name) for name in ("dag", "executor_plugin"))
    schedule = inspect.getsource(snakemake.workflow.JobScheduler.schedule)
    assert "self._schedule_reevalutation(self.job_rate_limiter.timespan)" in schedule
