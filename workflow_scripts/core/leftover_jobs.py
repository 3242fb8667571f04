"""Jobs that a killed Snakemake left in the SLURM queue, found before the same outputs are written again.

A Snakemake that is killed (kill -9, a login node that reboots) cannot cancel what it submitted, and the next one does not
know of it. What such a job is about is in its batch script: SLURM keeps it, and snakemake-executor-plugin-slurm wrote the
job's targets into it.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Set
from pathlib import Path

from workflow_scripts.core.errors import PipelineError

# SIGTERM, the time that a step takes to save its state, SIGKILL.
LONGEST_WAIT_S = 600.0
_LONGEST_ANSWER_S = 120


def cancel_leftover_jobs(
    workdir: Path, results: str, targets: Set[str], say: Callable[[str], None]
) -> list[str]:
    """Cancel the user's SLURM jobs that would write what is about to be written, wait for their end, return their ids.

    Such a job was submitted from `workdir`, is about files below `results` (a path relative to it) and makes one of
    `targets`, each as `target` names it. `say` is given one line when there are any.
    PipelineError when SLURM does not answer or a job does not end.
    """
    jobs = [job for job in _queued(workdir) if _is_about(_batch_script(job), results, targets)]
    if not jobs:
        return []
    say(
        f"SLURM still has {len(jobs)} job{'s' * (len(jobs) > 1)} ({', '.join(jobs)}) of a Snakemake that was killed; "
        "cancelling, and waiting for the end, so that no two jobs write the same files"
    )
    _call("scancel", *jobs)
    deadline = time.monotonic() + LONGEST_WAIT_S
    while left := [job for job in _queued(workdir) if job in jobs]:
        if time.monotonic() > deadline:
            raise PipelineError(
                f"the SLURM jobs {', '.join(left)} were cancelled but do not end; see squeue, then start again"
            )
        time.sleep(1)
    return jobs


def target(rule: str, wildcards: Mapping[str, str]) -> str:
    """What names one job of the workflow: `rule:wildcard=value,…`, wildcards sorted."""
    return f"{rule}:{','.join(sorted(f'{name}={value}' for name, value in wildcards.items()))}"


def targets_of(script: str) -> set[str]:
    """What `target` says of every job in a batch script that the executor plugin wrote; else the empty set."""
    try:
        words = shlex.split(script, comments=True)
    except ValueError:
        return set()
    if "--target-jobs" not in words:
        return set()
    found: set[str] = set()
    for word in words[words.index("--target-jobs") + 1 :]:
        if word.startswith("--"):
            break
        rule, _, wildcards = word.partition(":")
        found.add(target(rule, dict(part.split("=", 1) for part in wildcards.split(",") if "=" in part)))
    return found


def _is_about(script: str, results: str, targets: Set[str]) -> bool:
    return f"{results}/" in script and not targets.isdisjoint(targets_of(script))


def _queued(workdir: Path) -> list[str]:
    """Ids of the user's jobs from `workdir` that wait, run or are ending."""
    lines = _call("squeue", "--me", "--noheader", "--sort=i", "--format=%i %Z").splitlines()
    jobs = [line.strip().partition(" ") for line in lines]
    return [job for job, _, folder in jobs if Path(folder).resolve() == workdir.resolve()]


def _batch_script(job: str) -> str:
    """A job's batch script; empty when the job has ended in the meantime."""
    try:
        return _call("scontrol", "write", "batch_script", job, "-")
    except PipelineError:
        return ""


def _call(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_ANSWER_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PipelineError(
            f"SLURM does not answer ({shlex.join(command)}: {error}); try again when squeue does"
        ) from error
    if done.returncode:
        raise PipelineError(
            f"SLURM does not answer ({shlex.join(command)}: {done.stderr.strip()}); try again when squeue does"
        )
    return done.stdout
