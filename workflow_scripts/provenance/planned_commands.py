"""What the current configuration and code would run for every file, had nothing been computed: Snakemake's own commands.

A step's manifest must say the same. Snakemake's records are not asked, since `--touch` falsifies them.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.provenance.project_paths import portable_path

COMMAND = "python -m workflow_scripts.steps."


@dataclass(frozen=True)
class PlannedCommand:
    """One step as it would be called: paths as manifests name them."""

    entry: str
    rule: str
    wildcards: dict[str, str]
    settings: dict[str, Any]
    inputs: list[tuple[str, str]]
    outputs: list[tuple[str, str]]


def planned_commands(root: Path, config: Sequence[str]) -> dict[str, PlannedCommand]:
    """Output path -> the step that would make it, for every file of the study. `config`: Snakemake's KEY=VALUE words.

    Takes as long as a dry run of Snakemake, a few seconds. PipelineError, one line, when the workflow cannot be planned.
    """
    found = {}
    for line in dry_run(root, config, "--forceall"):
        if (start := line.find(COMMAND)) >= 0:
            planned = parse_command(line[start:], root)
            found |= {path: planned for _, path in planned.outputs}
    if not found:
        raise PipelineError(
            "Snakemake planned nothing, so nothing can be compared with it; is this the project's folder?"
        )
    return found


def dry_run(root: Path, config: Sequence[str], *arguments: str) -> list[str]:
    """The lines of a dry run of Snakemake, with the jobs' commands; PipelineError when the workflow cannot be planned."""
    # quiet about the host only: rules and commands must be printed, whatever the profile says
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--dry-run",
        "--printshellcmds",
        "--quiet",
        "host",
        "--nolock",
        *arguments,
    ]
    done = subprocess.run(
        [*command, *(["--config", *config] if config else [])], cwd=root, capture_output=True, text=True
    )
    said = (done.stdout + done.stderr).splitlines()
    if done.returncode:
        reason = next(
            (line for line in said if "error" in line.lower()), said[-1] if said else "no reason given"
        )
        raise PipelineError(f"the workflow cannot be planned: {reason.removeprefix('error: ')}")
    return said


def parse_command(line: str, root: Path) -> PlannedCommand:
    """A step's command line (core/step.py), read back."""
    words = shlex.split(line)
    parser = argparse.ArgumentParser(add_help=False)
    for flag in ("--settings", "--rule", "--data-root"):
        parser.add_argument(flag)
    for flag in ("--input", "--output", "--wildcard"):
        parser.add_argument(flag, nargs="+", action="append", default=[])
    arguments, _ = parser.parse_known_args(words[3:])
    data_root = root / arguments.data_root if arguments.data_root else None

    def named(pairs: list[list[str]]) -> list[tuple[str, str]]:
        return [
            (name, portable_path(root / path, root, data_root)) for name, *paths in pairs for path in paths
        ]

    return PlannedCommand(
        words[2].removeprefix("workflow_scripts.steps."),
        arguments.rule,
        dict(arguments.wildcard),
        json.loads(arguments.settings),
        named(arguments.input),
        named(arguments.output),
    )
