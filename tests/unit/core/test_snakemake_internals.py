"""The parts of Snakemake that core/snakemake_internals.py reads; tests/workflow/test_machine.py uses them."""

import inspect
from importlib.metadata import version

import snakemake.api  # also loads snakemake.workflow, which cannot be imported by itself


def test_snakemake_has_the_internals_that_were_read_in_9_27():
    """After an update of Snakemake, compare the module with its source, then change the version here."""
    assert version("snakemake").startswith("9.27.")
    assert all(hasattr(snakemake.workflow.DAG, name) for name in ("needrun_jobs", "jobs"))
    assert all(hasattr(snakemake.workflow.Workflow, name) for name in ("dag", "executor_plugin"))
    assert hasattr(snakemake.settings.types.ResourceSettings, "_parsed_overwrite_resources")
    schedule = inspect.getsource(snakemake.workflow.JobScheduler.schedule)
    assert "self._schedule_reevalutation(self.job_rate_limiter.timespan)" in schedule
    changed = [f"{name}_changed" for name in ("params", "code", "input", "software_stack")]
    decided = ("has_metadata", "has_outdated_metadata", "input_checksums", *changed)
    persistence = snakemake.persistence.PersistenceBase
    assert all(callable(getattr(persistence, name)) for name in decided)
    assert isinstance(snakemake.workflow.Workflow.rerun_triggers, property)
    needrun = inspect.getsource(snakemake.workflow.DAG.update_needrun)
    assert all(f"persistence.{name}(" in needrun for name in decided)
