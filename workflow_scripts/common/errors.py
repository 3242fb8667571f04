"""The exceptions that reach the user as a single line instead of a traceback."""

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
