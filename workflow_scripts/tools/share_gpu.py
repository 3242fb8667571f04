"""Let the jobs of one command share a GPU: python -m workflow_scripts.tools.share_gpu -- snakemake --cores 16 --config device=cuda …

Without it, kernels of different processes take turns. NVIDIA's Multi-Process Service (MPS) runs them side by side, and a
small network fills a fraction of a GPU. A daemon of this command's own is started, and ended with it. Each process sees the
whole GPU, so that libraries choose the kernels they would choose alone. Exit code: the command's, 128 and the signal's
number if a signal ended it, 1 for an error in one line, 2 for bad usage.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from workflow_scripts.core.errors import PipelineError

CONTROL = "nvidia-cuda-mps-control"
# The daemon makes sockets in its folder, and a socket's path has 107 bytes at most.
LONGEST_FOLDER = 80
# From a terminal these reach all of a foreground job, from elsewhere one process.
FROM_A_TERMINAL, TO_ONE = (signal.SIGINT, signal.SIGHUP), (signal.SIGTERM,)


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    if words[:1] != ["--"] or len(words) < 2:
        print("usage: python -m workflow_scripts.tools.share_gpu -- COMMAND [ARGUMENT…]", file=sys.stderr)
        return 2
    try:
        with _PassedOn() as signals, multi_process_service() as environment:
            return _run(words[1:], environment, signals)
    except PipelineError as error:
        print(f"error: share_gpu: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def multi_process_service() -> Iterator[dict[str, str]]:
    """An MPS daemon in folders of its own; gives the environment in which processes find it. PipelineError without one."""
    if inherited := os.environ.get("CUDA_MPS_PIPE_DIRECTORY"):
        raise PipelineError(
            f"processes here share a GPU already (CUDA_MPS_PIPE_DIRECTORY is {inherited}); run the command by itself"
        )
    if shutil.which(CONTROL) is None:
        raise PipelineError(
            f"{CONTROL} is not on the PATH; it comes with NVIDIA's driver, for machines with a GPU"
        )
    with tempfile.TemporaryDirectory(prefix="mps", ignore_cleanup_errors=True) as folder:
        if len(folder.encode()) > LONGEST_FOLDER:
            raise PipelineError(
                f"the temporary folder {folder} has too long a path for sockets; set TMPDIR to a shorter one"
            )
        environment = dict(os.environ)
        for name, part in (("CUDA_MPS_PIPE_DIRECTORY", "pipe"), ("CUDA_MPS_LOG_DIRECTORY", "log")):
            (Path(folder) / part).mkdir()
            environment[name] = str(Path(folder) / part)
        try:
            started = _control(environment, "-d")
            # It answers only when it is up; what it was asked for does not matter.
            if started.returncode or _control(environment, said="get_server_list").returncode:
                raise PipelineError(
                    f"{CONTROL} -d did not start a daemon: {_reason(started, Path(folder) / 'log')}"
                )
            yield environment
        finally:
            with contextlib.suppress(PipelineError):
                _control(environment, said="quit")


def _control(
    environment: Mapping[str, str], *arguments: str, said: str = ""
) -> subprocess.CompletedProcess[str]:
    # In a session of its own: Ctrl-C in a terminal is for the command, and the daemon outlives it. Output goes to a file,
    # since the daemon would hold a pipe open.
    with tempfile.TemporaryFile("w+") as output:
        try:
            done = subprocess.run(
                [CONTROL, *arguments],
                env=environment,
                input=said,
                stdout=output,
                stderr=output,
                text=True,
                timeout=60,
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PipelineError(f"{CONTROL}: {error}") from error
        output.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, output.read())


def _reason(started: subprocess.CompletedProcess[str], logs: Path) -> str:
    """The last line that the daemon said or logged."""
    texts = [started.stdout, *(path.read_text(errors="replace") for path in sorted(logs.glob("*.log")))]
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {started.returncode}, and it said nothing"


def _run(command: Sequence[str], environment: Mapping[str, str], signals: _PassedOn) -> int:
    """Run the command; its exit code."""
    try:
        # In a process group of its own, so that a terminal's Ctrl-C reaches it once, through here.
        child = subprocess.Popen(command, env=environment, process_group=0)
    except OSError as error:
        raise PipelineError(f"cannot run {shlex.join(command)}: {error.strerror}") from error
    signals.to(child)
    code = child.wait()
    return code if code >= 0 else 128 - code


class _PassedOn:
    """Signals that would end this process go to the command instead, those that came before it was there as well."""

    def __init__(self) -> None:
        self._child: subprocess.Popen | None = None
        self._early: list[int] = []

    def __enter__(self) -> _PassedOn:
        self._before = {
            number: signal.signal(number, self._receive) for number in (*FROM_A_TERMINAL, *TO_ONE)
        }
        return self

    def __exit__(self, *raised: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def to(self, child: subprocess.Popen) -> None:
        self._child = child
        while self._early:
            self._receive(self._early.pop(0), None)

    def _receive(self, number: int, frame: object) -> None:
        if self._child is None:
            self._early.append(number)
            return
        with contextlib.suppress(ProcessLookupError):
            if number in FROM_A_TERMINAL:
                os.killpg(self._child.pid, number)
            else:
                self._child.send_signal(number)


if __name__ == "__main__":
    sys.exit(main())
