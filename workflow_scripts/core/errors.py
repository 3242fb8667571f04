"""The exceptions that reach the user as a single line instead of a traceback, and what keeps them one line."""

import signal


class PipelineError(Exception):
    """Something the user can act on: what happened, where, and what to do. Printed as one line; exit code 1."""


class ConfigError(PipelineError):
    """A configuration value that is unknown, of the wrong type or impossible; names the file and the key."""


class Stopped(Exception):
    """A signal asked the step to end before its work was done; the message says what was kept. Exit code 128 + signal."""

    def __init__(self, signal_number: int, message: str):
        super().__init__(f"stopped by {signal.Signals(signal_number).name}; {message}")
        self.exit_code = 128 + signal_number


def shorten(text: object, length: int = 200) -> str:
    """The text on one line and no longer than a message can hold."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[:length] + "…"
