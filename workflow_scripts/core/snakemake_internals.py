"""The parts of Snakemake 9.27 that this workflow needs and that have no public API."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from snakemake.resources import Resources
from snakemake.utils import format


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


def set_resources_like(workflow: Any, rule: str, other: str) -> None:
    """Let --set-resources of another rule hold for this one, not yet defined, but for what is its own."""
    given = workflow.resource_settings._parsed_overwrite_resources
    if other in given:  # an empty entry would be an option without a value on a cluster job's command line
        given[rule] = Resources({**given[other], **given.get(rule, {})})


def executor_name(workflow: Any) -> str:
    """How jobs are run: `local`, `slurm` or another executor plugin."""
    return workflow.executor_plugin.name


def command_of(job: Any) -> str:
    """A job's shell command before Snakemake has numbered the jobs, with one thread; "" if it has none."""
    files = {name: getattr(job, name) for name in ("input", "output", "log", "params", "wildcards")}
    names = {**job.rule.workflow.globals, **files, "rule": job.rule.name, "threads": 1}
    return format(job.rule.shellcmd, **names) if job.rule.shellcmd else ""


def decide_reruns(
    workflow: Any, has_changed: Callable[[Any], bool], input_sha256: Callable[[Any, str], str | None]
) -> None:
    """Let `has_changed(job)` decide whether a job whose outputs are there runs again.

    Neither Snakemake's records in .snakemake nor `--rerun-triggers` count any longer. An input that is newer
    than an output makes the job run again only if its content is not `input_sha256(job, path)`.
    """
    persistence = import_module("snakemake.persistence").PersistenceBase
    triggers = import_module("snakemake.settings.enums").RerunTrigger
    type(workflow).rerun_triggers = property(lambda self: triggers.all())

    def recorded(self: Any, job: Any, path: str) -> set[str]:
        digest = input_sha256(job, path)
        return {f"sha256:{digest}"} if digest else set()

    def unchanged(self: Any, job: Any, file: str | None = None) -> Any:
        return iter(()) if file is None else False

    persistence.has_metadata = lambda self, job: True
    persistence.has_outdated_metadata = lambda self, job: False
    persistence.params_changed = lambda self, job, file=None: has_changed(job)
    persistence.input_checksums = recorded
    persistence.code_changed = persistence.input_changed = persistence.software_stack_changed = unchanged
