"""The commands for people: python -m workflow_scripts.tools.<name>."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from workflow_scripts.core.errors import PipelineError


def command_line(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Return the parser of the tool `name`, which takes `--config KEY=VALUE…` as Snakemake does."""
    parser = argparse.ArgumentParser(
        prog=f"python -m workflow_scripts.tools.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="as for Snakemake"
    )
    return parser


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call a tool's `main` and exit; end quietly with the reader (`| head`), and print in every locale."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    sys.exit(main())


@contextmanager
def errors_in_one_line(code: int = 1) -> Iterator[None]:
    """Decorate a tool's `main`, or surround a part of it: print a PipelineError and exit with `code`."""
    try:
        yield
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(code)
