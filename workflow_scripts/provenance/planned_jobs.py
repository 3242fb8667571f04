"""The jobs that Snakemake would run, as data: what each would run, on which files, and why. Nothing is run.

Snakemake describes every job of a dry run to its logger plugins (package snakemake-interface-logger-plugins),
the public way to learn its plan. This module is such a plugin in a process of its own: `python -m
workflow_scripts.provenance.planned_jobs` takes Snakemake's arguments and prints, as its last line, the jobs
as JSON.
"""

from __future__ import annotations

import json
import logging
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent, logger_plugin_module_prefix
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from workflow_scripts.core.errors import PipelineError, shorten
from workflow_scripts.core.step import parse
from workflow_scripts.provenance.manifest import portable_path

COMMAND = "python -m workflow_scripts.steps."
_PLUGIN = "jobs"


@dataclass(frozen=True)
class PlannedJob:
    """One step as it would be called: (name, path) of its files, as in manifests, and Snakemake's reason."""

    entry: str
    rule: str
    wildcards: dict[str, str]
    settings: dict[str, Any]
    inputs: list[tuple[str, str]]
    outputs: list[tuple[str, str]]
    reason: str = ""

    @property
    def input_paths(self) -> list[str]:
        return [path for _, path in self.inputs]

    @property
    def output_paths(self) -> list[str]:
        return [path for _, path in self.outputs]


def planned_jobs(root: Path, config: Sequence[str] = (), *arguments: str) -> list[PlannedJob]:
    """Return every job that would run now below `root`, in order, without the targets, which run nothing.

    `config` holds Snakemake's KEY=VALUE words, `arguments` more of its arguments. Takes as long as
    Snakemake's planning. Raises PipelineError when the workflow cannot be planned, or when a job calls no
    step.
    """
    jobs = dry_run(root, config, *arguments)
    return [_planned(job, root) for job in jobs if job["output"] or job["shellcmd"]]


def planned_files(root: Path, config: Sequence[str] = ()) -> dict[str, PlannedJob]:
    """Map every file of the study to the job that would make it if nothing had been computed yet."""
    makers = {path: job for job in planned_jobs(root, config, "--forceall") for path in job.output_paths}
    if not makers:
        raise PipelineError("Snakemake plans no file; run this in the project's folder")
    return makers


def dry_run(root: Path, config: Sequence[str], *arguments: str) -> list[dict[str, Any]]:
    """Return {rule, input, output, reason, shellcmd} of every job of a dry run below `root`, in order."""
    command = [sys.executable, "-m", "workflow_scripts.provenance.planned_jobs", *arguments]
    command += ["--config", *config] if config else []
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or "Snakemake gives no reason").splitlines()[-1]
        raise PipelineError(f"the workflow cannot be planned: {said.removeprefix('error: ')}")
    return json.loads(done.stdout.splitlines()[-1])


def _planned(job: dict[str, Any], root: Path) -> PlannedJob:
    _, found, call = (job["shellcmd"] or "").partition(COMMAND)
    if not found:
        raise PipelineError(f"rule {job['rule']} cannot be planned: its command must call {COMMAND}<name>")
    return parse_command(call, root, job["reason"])


def parse_command(call: str, root: Path, reason: str = "") -> PlannedJob:
    """Read back a step's command line (core/step.py), from the entry point's name on."""
    entry, *words = shlex.split(call)
    arguments = parse(entry, None, words)
    data_root = root / arguments.data_root if arguments.data_root else None

    def named(groups: list[list[str]]) -> list[tuple[str, str]]:
        return [
            (name, portable_path(root / path, root, data_root)) for name, *paths in groups for path in paths
        ]

    return PlannedJob(
        entry,
        arguments.rule,
        dict(arguments.wildcard),
        arguments.settings,
        named(arguments.input),
        named(arguments.output),
        reason,
    )


_JOBS: list[dict[str, Any]] = []
_ERRORS: list[str] = []


class LogHandler(LogHandlerBase):
    """Snakemake's logger plugin: collects jobs and errors, in place of what Snakemake would print."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", None) == LogEvent.JOB_INFO:
            job = {name: getattr(record, name) for name in ("input", "output", "reason", "shellcmd")}
            _JOBS.append({"rule": record.rule_name, **job})
        elif record.levelno >= logging.ERROR:
            _ERRORS.append(record.getMessage())


def main() -> None:
    from snakemake.cli import main as snakemake

    LoggerPluginRegistry().register_plugin(f"{logger_plugin_module_prefix}{_PLUGIN}", sys.modules[__name__])
    try:
        snakemake(["--logger", _PLUGIN, "--dry-run", "--nolock", *sys.argv[1:]])
    except SystemExit as ended:
        if ended.code:
            # a message means that the Snakefile itself gave up; otherwise Snakemake logged why
            message = ended.code if isinstance(ended.code, str) else " ".join(_ERRORS)
            sys.exit(shorten(message, 500) or 1)
    print(json.dumps(_JOBS))


if __name__ == "__main__":
    main()
