"""Which jobs Snakemake would run now, with what they would run with and Snakemake's reason; nothing is run.

Read from the text of a dry run: commands and reasons are printed for people, and have changed less between versions
than the objects behind them, which are private. What could not be read is an error, never left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.provenance.packages import package_versions
from workflow_scripts.provenance.planned_commands import COMMAND, PlannedCommand, dry_run, parse_command
from workflow_scripts.provenance.source_closure import file_digests, loaded_modules, source_digest


@dataclass(frozen=True)
class PlannedJob:
    """One job that would run: its command, the code and packages that it would run with, and Snakemake's reason."""

    command: PlannedCommand
    source: dict[str, Any]
    packages: dict[str, Any]
    reason: str

    @property
    def rule(self) -> str:
        return self.command.rule

    @property
    def outputs(self) -> list[str]:
        return [path for _, path in self.command.outputs]

    @property
    def inputs(self) -> list[str]:
        return [path for _, path in self.command.inputs]


def planned_jobs(root: Path, config: Sequence[str] = (), *arguments: str) -> list[PlannedJob]:
    """Every job of a dry run below `root` that calls a step. `config`: Snakemake's KEY=VALUE words; `arguments`: further ones.

    Takes as long as Snakemake's planning. PipelineError, one line, when the workflow cannot be planned or read.
    """
    lines = dry_run(root, config, *arguments)
    jobs, reason = [], ""
    for line in lines:
        if match := re.match(r"\s+reason: (.*)", line):
            reason = match[1]
        elif (start := line.find(COMMAND)) >= 0:
            jobs.append(_job(root, parse_command(line[start:], root), reason))
            reason = ""
    expected = _counted(lines)
    if len(jobs) != expected:
        raise PipelineError(
            f"Snakemake plans {expected} jobs, of which {len(jobs)} could be read; is this Snakemake 9.27?"
        )
    return jobs


def _job(root: Path, command: PlannedCommand, reason: str) -> PlannedJob:
    loads = loaded_modules(command.settings)
    source = {
        "digest": source_digest(root, command.entry, loads),
        "files": file_digests(root, command.entry, loads),
    }
    return PlannedJob(command, source, package_versions(root, command.entry, loads), reason)


def _counted(lines: Sequence[str]) -> int:
    """How many jobs Snakemake's table counts, without those that call no step: the targets `all` and `data`."""
    starts = [
        number
        for number, line in enumerate(lines)
        if line.startswith("job ") and line.split() == ["job", "count"]
    ]
    if not starts:
        return 0
    counts: dict[str, int] = {}
    for line in lines[starts[0] + 2 :]:
        name, _, count = line.strip().rpartition(" ")
        if name.strip() == "total" or not count.isdigit():
            break
        counts[name.strip()] = int(count)
    return sum(count for name, count in counts.items() if name not in ("all", "data"))
