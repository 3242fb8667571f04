"""The frame of every entry point: its command line, its log and lock, and how it ends.

    python -m workflow_scripts.steps.<entry> --settings JSON_OR_FILE --input NAME PATH... --output NAME
    PATH... [--log PATH]

An entry point is a function of one Step. It knows no wildcards and no files but those that it is given. A
rule also passes its name and wildcards (`--rule`, `--wildcard`) for the manifest, which is written beside the
first output.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from workflow_scripts.core.errors import PipelineError, Stopped
from workflow_scripts.core.memory import keep_freed_memory
from workflow_scripts.core.progress import say

# The answers of a file system without locks (NFS without its lock service, Lustre mounted without flock).
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@dataclass(frozen=True)
class Step:
    """The arguments of an entry point: settings, named input and output paths, a log and a thread count.

    `machine` holds settings of the machine (config/config.yaml), which decide no result. Where one leaves a
    choice (`device: auto`), the step writes its choice there, for the manifest. `afterwards` is called once
    the manifest is written: the place to delete files that a failed step would need to resume.

    `input_lineage_sha256` is one sum over rule, settings, code, packages and all inputs with their own
    lineage; published files carry it, so that they lead back to their run. `code_sha256` is one sum over the
    step's code and packages; what a step keeps to resume is only valid with the same one.
    """

    name: str
    settings: dict[str, Any]
    inputs: dict[str, list[Path]] = field(default_factory=dict)
    outputs: dict[str, list[Path]] = field(default_factory=dict)
    log: TextIO | None = None
    threads: int = 1
    machine: dict[str, str] = field(default_factory=dict)
    rule: str | None = None
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    input_lineage_sha256: str | None = None
    code_sha256: str | None = None

    def input(self, name: str) -> Path:
        """The single input called `name`; PipelineError when it was not given."""
        return self._single(self.inputs, "--input", name)

    def output(self, name: str) -> Path:
        """The single output called `name`; PipelineError when it was not given."""
        return self._single(self.outputs, "--output", name)

    def _single(self, paths: dict[str, list[Path]], flag: str, name: str) -> Path:
        if len(found := paths.get(name, [])) != 1:
            raise PipelineError(f"{self.name} needs exactly one {flag} {name} PATH, got {len(found)}")
        return found[0]

    def setting(self, dotted: str) -> Any:
        """A setting by dotted key, such as `data.source`; PipelineError when it was not given."""
        value: Any = self.settings
        for part in dotted.split("."):
            if not isinstance(value, dict) or part not in value:
                raise PipelineError(f"{self.name} needs the setting {dotted!r}, which is not in --settings")
            value = value[part]
        return value

    def say(self, line: str) -> None:
        """Print one line for the user and the log."""
        say(f"{self.name}: {line}", self.log)


def run(main: Callable[[Step], None], argv: list[str] | None = None, volatile: Sequence[str] = ()) -> None:
    """Parse the command line, call `main` and exit: 0 done, 1 error, 2 bad usage, 130 Ctrl-C, 143 SIGTERM.

    `volatile` names the outputs that hold measurements (a duration), which differ between two equal runs.
    """
    name = Path(sys.argv[0]).stem if argv is None else main.__module__.rsplit(".", 1)[-1]
    arguments = parse(name, sys.modules[main.__module__].__doc__, argv)
    # Not imported here: torch must not become a package of the steps that never load it.
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    keep_freed_memory()
    lock = log = None
    try:
        if arguments.log:
            # Before the log is opened, because that empties the log of the step we wait for.
            lock = take_turn(arguments.log.with_suffix(".lock"), lambda line: say(f"{name}: {line}"))
            # Line by line, so that it is complete when the step is killed.
            log = open(arguments.log, "w", encoding="utf-8", buffering=1)  # noqa: SIM115
    except OSError as error:
        print(f"error: {name}: cannot write the log {arguments.log}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        _run(main, name, arguments, log, volatile)
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
    except Exception:  # a bug: the traceback belongs in the log as well as on the screen
        say(
            f"{traceback.format_exc()}error: {name}: this is a bug; please report it with the lines above",
            log,
        )
        sys.exit(1)
    finally:
        signal.signal(signal.SIGTERM, before)
        if lock:
            lock.release()


def _run(
    main: Callable[[Step], None], name: str, arguments: Any, log: TextIO | None, volatile: Sequence[str]
) -> None:
    inputs, outputs = _named(arguments.input), _named(arguments.output)
    machine = dict(arguments.machine)
    step = Step(name, arguments.settings, inputs, outputs, log, arguments.threads, machine, arguments.rule)
    # By name, not by an import statement: recording a step is no part of its computation
    # (provenance/recorder.py).
    recorder = importlib.import_module("workflow_scripts.provenance.recorder").Recorder(
        step, dict(arguments.wildcard), arguments.data_root, volatile
    )
    sums = {name: getattr(recorder, name) for name in ("input_lineage_sha256", "code_sha256")}
    main(replace(step, **sums))
    recorder.finish()
    for tidy_up in step.afterwards:
        tidy_up()


def parse(name: str, description: str | None, argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line of the entry point `name`; exits with code 2 for bad usage."""
    parser = argparse.ArgumentParser(prog=f"python -m workflow_scripts.steps.{name}", description=description)
    pairs: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument("--settings", required=True, help="settings as JSON, or the path of a JSON file")
    parser.add_argument("--input", nargs="+", metavar=("NAME", "PATH"), **pairs)
    parser.add_argument("--output", nargs="+", metavar=("NAME", "PATH"), **pairs)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--machine", nargs=2, metavar=("NAME", "VALUE"), help="a setting that decides no result", **pairs
    )
    parser.add_argument("--rule", help="the workflow's rule; with it a manifest is written")
    parser.add_argument("--wildcard", nargs=2, metavar=("NAME", "VALUE"), **pairs)
    parser.add_argument("--data-root", type=Path, help="where data lies; manifests call it data_root")
    arguments = parser.parse_args(argv)
    text = arguments.settings
    try:
        text = text if text.lstrip().startswith("{") else Path(text).read_text("utf-8")
        arguments.settings = json.loads(text)
    except (OSError, ValueError) as error:
        parser.error(f"--settings is neither JSON nor a readable JSON file: {error}")
    return arguments


def take_turn(path: Path, say: Callable[[str], None]) -> Any:
    """Lock the file `path` while the returned lock is kept; if another process holds it, say who, and wait.

    The kernel releases the lock of a process that dies, so a leftover file blocks nobody. On a file system
    without locks it says so and goes on. OSError when the file cannot be written.
    """
    # By name, because the version of a lock decides no number (provenance/packages.py).
    filelock = importlib.import_module("filelock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, fallback_to_soft=False)
    try:
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            holder = path.read_text(encoding="utf-8") or "another process"
            say(f"waiting for {holder}, which makes the same outputs ({path} is locked)")
            lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        say(f"{path} cannot be locked ({error.strerror}); make sure that only one job writes there at a time")
    job = os.environ.get("SLURM_JOB_ID")
    who = f"process {os.getpid()} on {socket.gethostname()}{f', SLURM job {job}' if job else ''}"
    path.write_text(who, encoding="utf-8")
    return lock


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number, "nothing half-written was left")


def _named(pairs: list[list[str]]) -> dict[str, list[Path]]:
    return {name: [Path(path) for path in paths] for name, *paths in pairs}
