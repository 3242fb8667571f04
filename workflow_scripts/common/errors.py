"""The one exception that reaches the user as a single line instead of a traceback."""


class PipelineError(Exception):
    """Something the user can act on: what happened, where, and what to do. Printed as one line; exit code 1."""


class ConfigError(PipelineError):
    """A configuration value that is unknown, of the wrong type or impossible; names the file and the key."""
