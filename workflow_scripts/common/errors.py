"""The one exception that reaches the user as a single line instead of a traceback, and what keeps it one line."""


class PipelineError(Exception):
    """Something the user can act on: what happened, where, and what to do. Printed as one line; exit code 1."""


class ConfigError(PipelineError):
    """A configuration value that is unknown, of the wrong type or impossible; names the file and the key."""


def shorten(text: object, length: int = 200) -> str:
    """The text on one line and no longer than a message can hold."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[:length] + "…"
