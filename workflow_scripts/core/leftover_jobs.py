"""Cancel SLURM jobs that a killed Snakemake left in the queue, before their outputs are written again.

A Snakemake that is killed (kill -9, a reboot of the login node) cannot cancel its jobs, and the next one does
not know them. They are found by their batch script, into which snakemake-executor-plugin-slurm writes the
jobs' targets.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Set
from itertools import takewhile
from pathlib import Path

from workflow_scripts.core.errors import PipelineError

# Enough for SIGTERM, the saving of a step's state, and SIGKILL.
LONGEST_WAIT_S = 600.0
_LONGEST_ANSWER_S = 120


def cancel_leftover_jobs(
    workdir: Path, results: str, targets: Set[str], say: Callable[[str], None]
) -> list[str]:
    """Cancel the user's SLURM jobs that would write the same files, wait for their end, and return their ids.

    These are jobs submitted from `workdir`, about files below `results` (relative to `workdir`), that make
    one of `targets` (as `target` spells them). `say` gets one line if there are any. PipelineError when SLURM
    does not answer or a job does not end.
    """
    scripts = {job: _batch_script(job) for job in _queued(workdir)}
    jobs = [
        job
        for job, script in scripts.items()
        if f"{results}/" in script and not targets.isdisjoint(targets_of(script))
    ]
    if not jobs:
        return []
    say(
        f"SLURM still has {len(jobs)} job{'s' * (len(jobs) > 1)} ({', '.join(jobs)}) of a killed Snakemake; "
        "cancelling them and waiting for their end, so that no two jobs write the same files"
    )
    _call("scancel", *jobs)
    deadline = time.monotonic() + LONGEST_WAIT_S
    while left := [job for job in _queued(workdir) if job in jobs]:
        if time.monotonic() > deadline:
            raise PipelineError(
                f"the SLURM jobs {', '.join(left)} were cancelled but do not end; see squeue, then run again"
            )
        time.sleep(1)
    return jobs


def target(rule: str, wildcards: Mapping[str, str]) -> str:
    """One job of the workflow as `rule:wildcard=value,…`, wildcards sorted."""
    return f"{rule}:{','.join(sorted(f'{name}={value}' for name, value in wildcards.items()))}"


def targets_of(script: str) -> set[str]:
    """The targets, as `target` spells them, in a batch script of the executor plugin; else empty."""
    try:
        words = shlex.split(script, comments=True)
    except ValueError:
        return set()
    if "--target-jobs" not in words:
        return set()
    after = words[words.index("--target-jobs") + 1 :]
    jobs = [word.partition(":") for word in takewhile(lambda word: not word.startswith("--"), after)]
    return {f"{rule}:{','.join(sorted(wildcards.split(',')))}" for rule, _, wildcards in jobs}


def _queued(workdir: Path) -> list[str]:
    """Ids of the user's jobs from `workdir` that wait, run or are ending."""
    lines = _call("squeue", "--me", "--noheader", "--sort=i", "--format=%i %Z").splitlines()
    jobs = [line.strip().partition(" ") for line in lines]
    return [job for job, _, folder in jobs if Path(folder).resolve() == workdir.resolve()]


def _batch_script(job: str) -> str:
    """A job's batch script; empty if the job has ended in the meantime."""
    try:
        return _call("scontrol", "write", "batch_script", job, "-")
    except PipelineError:
        return ""


def _call(*command: str) -> str:
    try:
        options = {"text": True, "errors": "surrogateescape", "timeout": _LONGEST_ANSWER_S, "check": True}
        done = subprocess.run(command, capture_output=True, **options)
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", None) or error).strip()
        raise PipelineError(
            f"SLURM does not answer ({shlex.join(command)}: {reason}); try again when squeue does"
        ) from error
    return done.stdout
