"""The parts of Snakemake 9.27 that this workflow needs and that have no public API."""

from __future__ import annotations

from typing import Any


def planned_jobs(workflow: Any) -> list[Any]:
    """The jobs that are about to run; each has `rule.name`, `wildcards_dict`, `input`, `output` and `log`."""
    return list(workflow.dag.needrun_jobs())


def other_jobs(workflow: Any) -> list[Any]:
    """The jobs of the plan that need not run, because their outputs are there and up to date."""
    planned = set(planned_jobs(workflow))
    return [job for job in workflow.dag.jobs if job not in planned]


def select_jobs_when_one_has_ended(workflow: Any) -> None:
    """Stop Snakemake from looking for ready jobs every second; it looks when a job has ended, too.

    Its limit of 100 jobs a second, which nothing here reaches, starts a chain of looks with every job that
    ends (`JobScheduler.schedule`). In a study of 300 jobs they took a tenth of all CPU time. A lower
    `--max-jobs-per-timespan` stays.
    """
    limiter = workflow.scheduler.job_rate_limiter
    if limiter is not None and limiter.max_jobs >= 100 * limiter.timespan:
        workflow.scheduler.job_rate_limiter = None


def executor_name(workflow: Any) -> str:
    """How jobs are run: `local`, `slurm` or another executor plugin."""
    return workflow.executor_plugin.name
