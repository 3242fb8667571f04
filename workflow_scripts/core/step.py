"""How every entry point is called, and how it ends.

    python -m workflow_scripts.steps.<entry> --settings JSON_OR_FILE --input NAME PATH... --output NAME PATH... [--log PATH]

The entry point is a function of one Step. It knows no wildcard and no other file than the ones it is handed. A rule adds
its own name and its wildcards (`--rule`, `--wildcard`) for the manifest, which is written beside the first output.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from workflow_scripts.core.errors import PipelineError, Stopped
from workflow_scripts.core.freed_memory import keep_freed_memory
from workflow_scripts.core.one_writer import take_turn
from workflow_scripts.core.progress import open_log, say


@dataclass(frozen=True)
class Step:
    """What a rule hands to its entry point: settings, named input and output paths, a log and a thread count.

    `machine` holds settings of the machine (config/config.yaml), which decide no result; where one leaves a choice
    (`device: auto`), the step writes what it chose into it, for the manifest. What is in `afterwards` is called once the
    manifest is written: the place to delete what would have been needed to go on after a failure.

    `input_lineage_sha256` is one sum over what the step works from: rule, settings, code, packages and every input, each
    with the sum of its own lineage. Files that people take away carry it, so that they lead back to their run.
    `code_sha256` is one sum over the step's own code and the packages; what a step keeps for itself is worth nothing under
    another.
    """

    name: str
    settings: dict[str, Any]
    inputs: dict[str, list[Path]] = field(default_factory=dict)
    outputs: dict[str, list[Path]] = field(default_factory=dict)
    log: TextIO | None = None
    threads: int = 1
    machine: dict[str, str] = field(default_factory=dict)
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    rule: str | None = None
    input_lineage_sha256: str | None = None
    code_sha256: str | None = None

    def input(self, name: str) -> Path:
        """The single input called `name`; PipelineError when it was not given."""
        return self._single(self.inputs, "--input", name)

    def output(self, name: str) -> Path:
        """The single output called `name`; PipelineError when it was not given."""
        return self._single(self.outputs, "--output", name)

    def _single(self, paths: dict[str, list[Path]], flag: str, name: str) -> Path:
        if len(paths.get(name, [])) != 1:
            raise PipelineError(
                f"{self.name} needs exactly one {flag} {name} PATH, got {len(paths.get(name, []))}"
            )
        return paths[name][0]

    def setting(self, dotted: str) -> Any:
        """A setting by dotted key, such as `data.source`; PipelineError when it was not given."""
        value: Any = self.settings
        for part in dotted.split("."):
            if not isinstance(value, dict) or part not in value:
                raise PipelineError(
                    f"{self.name} needs the setting {dotted!r}, which --settings does not hold"
                )
            value = value[part]
        return value

    def say(self, line: str) -> None:
        """Print one line for the user and for the step's log."""
        say(f"{self.name}: {line}", self.log)


def run(main: Callable[[Step], None], argv: list[str] | None = None, volatile: Sequence[str] = ()) -> None:
    """Parse the command line, call `main` and exit: 0 done, 1 an error in one line, 2 bad usage, 130 Ctrl-C, 143 SIGTERM.

    `volatile` names the outputs that hold what was measured (a duration), which two equal runs do not share.
    """
    name = Path(sys.argv[0]).stem if argv is None else getattr(main, "__module__", "step").rsplit(".", 1)[-1]
    parser = argparse.ArgumentParser(
        prog=f"python -m workflow_scripts.steps.{name}", description=sys.modules[main.__module__].__doc__
    )
    parser.add_argument("--settings", required=True, help="settings as JSON, or the path of a JSON file")
    parser.add_argument("--input", nargs="+", action="append", default=[], metavar=("NAME", "PATH"))
    parser.add_argument("--output", nargs="+", action="append", default=[], metavar=("NAME", "PATH"))
    parser.add_argument("--log", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--machine", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="decides no result"
    )
    parser.add_argument("--rule", help="the workflow's rule; with it a manifest is written")
    parser.add_argument("--wildcard", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--data-root", type=Path, help="where data lies; manifests call it data_root")
    arguments = parser.parse_args(argv)
    try:
        text = arguments.settings
        settings = json.loads(
            text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8")
        )
    except (OSError, ValueError) as error:
        parser.error(f"--settings is neither JSON nor a readable JSON file: {error}")
    if torch := sys.modules.get(
        "torch"
    ):  # no import statement: torch is no package of the steps that never load it
        torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    keep_freed_memory()
    try:
        # kept until the process ends; before the log is opened, which would empty that of the step it waits for
        _turn = (
            take_turn(arguments.log.with_suffix(".lock"), lambda line: say(f"{name}: {line}"))
            if arguments.log
            else None
        )
        log = open_log(arguments.log)
    except OSError as error:
        print(f"error: {name}: cannot write the log {arguments.log}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    inputs, outputs = _named(arguments.input), _named(arguments.output)
    machine = dict(arguments.machine)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        # By name and not by an import statement: what records a step is no part of what it does (provenance/recorder.py).
        recorder = importlib.import_module("workflow_scripts.provenance.recorder").Recorder(
            name,
            settings,
            inputs,
            outputs,
            rule=arguments.rule,
            wildcards=dict(arguments.wildcard),
            data_root=arguments.data_root,
            threads=arguments.threads,
            volatile=volatile,
            machine_settings=machine,
        )
        sums = {"input_lineage_sha256": recorder.input_lineage_sha256, "code_sha256": recorder.code_sha256}
        step = Step(
            name, settings, inputs, outputs, log, arguments.threads, machine, rule=arguments.rule, **sums
        )
        main(step)
        recorder.finish()
        for tidy_up in step.afterwards:
            tidy_up()
    except PipelineError as error:
        say(f"error: {name}: {error}", log)
        sys.exit(1)
    except Stopped as stopped:
        say(f"{name}: {stopped}", log)
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        say(f"{name}: interrupted; nothing half-written was left", log)
        sys.exit(130)
    except MemoryError:
        say(f"error: {name}: out of memory; use smaller batches or fewer parallel jobs (CORES=1)", log)
        sys.exit(1)
    except Exception:  # a bug of ours: the traceback belongs in the log as well as on the screen
        say(traceback.format_exc(), log)
        sys.exit(1)
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number, "nothing half-written was left")


def _named(pairs: list[list[str]]) -> dict[str, list[Path]]:
    return {name: [Path(path) for path in paths] for name, *paths in pairs}
