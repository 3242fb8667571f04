"""What a step that failed left in its log, for the end of a long run."""

from __future__ import annotations

from pathlib import Path

# Other ends than an error: see core/step.py.
_SAID = ("stopped by", "interrupted")


def last_words(name: str, log: Path) -> list[str]:
    """The error lines of the step called `name`; where there are none, one line that says how else it ended."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return [f"error: {name}: its log {log} cannot be read: {error.strerror or error}"]
    errors = [line for line in lines if line.startswith("error: ")]
    if errors:
        return errors
    if any(line.startswith("Traceback") for line in lines):
        return [f"error: {name}: met a bug; {log} holds its account, please report it"]
    if any(word in line for line in lines for word in _SAID):
        return lines[-1:]
    return [
        f"error: {name}: ended without a word, so something killed it (the system does when memory runs out); nothing "
        f"half-written counts, run the same command again; its log is {log}"
    ]
