"""The files that a training run keeps until it is done, so that a killed run can resume.

    <folder>/<identity>/step0000500.pt     checkpoints reached so far, with the bytes of the final outputs
    <folder>/<identity>/step0000617.state  the newest two saved states

The folder is not an output of any rule, because a workflow manager deletes the outputs of a failed job. Every
file is complete or absent; a state that is damaged, or lacks one of its checkpoints, is refused.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import atomic_path, canonical_json, sha256_file, sha256_text
from workflow_scripts.training.checkpoints import read_tensors, write_tensors

GENERATIONS = 2


class SavedRun:
    """The kept files of one run; one process at a time may use them (the step's lock ensures that).

    `identity` (JSON-like) holds everything that decides the result: settings, hashes of data and code. Files
    of other identities are never read, and deleted when the run is done. `say` gets one line for each file
    that is refused.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], say: Callable[[str], None]):
        self.root, self.say = folder, say
        self.folder = folder / sha256_text(canonical_json(identity))[:16]

    def prepare(self) -> None:
        """Make the folder, and delete half-written files of a killed process."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PipelineError(
                f"cannot write {self.folder}: {error.strerror}; make room or fix the permissions"
            ) from error
        for path in self.folder.glob(".*"):
            path.unlink(missing_ok=True)

    def checkpoint_path(self, step: int) -> Path:
        """The path of the kept checkpoint after `step` updates."""
        return self.folder / f"step{step:07d}.pt"

    def save(self, step: int, content: Mapping[str, Any]) -> None:
        """Save `content` (tensors, numbers, text, lists, dicts) as the state after `step` updates.

        The newest two states stay. The state holds the sha256 of every checkpoint up to `step`; save those
        first.
        """
        checkpoints = {at: sha256_file(path) for at, path in self._numbered(".pt") if at <= step}
        state = {"checkpoints": checkpoints, "content": dict(content)}
        write_tensors(self.folder / f"step{step:07d}.state", state)
        for _, path in self._numbered(".state")[:-GENERATIONS]:
            path.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """Load the newest intact state onto the CPU; None to start from the beginning.

        Refused states are named and deleted, so that they do not count as one of the newest two.
        """
        states = self._numbered(".state")
        for _, path in reversed(states):
            try:
                return self._read(path)
            except PipelineError as error:
                self.say(str(error))
                path.unlink(missing_ok=True)
        if states:
            self.say("no saved state is left; training starts from the beginning")
        elif len(list(self.root.iterdir())) > 1:
            why = "saved states of other settings, data or code are not used"
            self.say(f"{why}; training starts from the beginning")
        return None

    def publish(self, step: int, output: Path) -> None:
        """Put the kept checkpoint at `output` as well, as a hard link or else a copy."""
        kept = self.checkpoint_path(step)
        if output.exists() and os.path.samefile(kept, output):
            return  # linked by a process that was killed right after; rename() between two links does nothing
        with atomic_path(output) as temporary:
            temporary.unlink()
            try:
                os.link(kept, temporary)
            except OSError:  # a file system without hard links
                shutil.copyfile(kept, temporary)

    def discard(self) -> None:
        """Delete the files of this identity only; for a run that must not be resumed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.root.rmdir()  # unless another identity is kept there

    def finish(self) -> None:
        """Delete everything, other identities included; for a run whose outputs are complete."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _numbered(self, suffix: str) -> list[tuple[int, Path]]:
        """(step, path) of the kept files with this suffix, by step; file times decide nothing."""
        return sorted((int(path.stem[4:]), path) for path in self.folder.glob(f"step*{suffix}"))

    def _read(self, path: Path) -> dict[str, Any]:
        """Read a state; PipelineError, naming the file, if it or one of its checkpoints was altered."""
        state = read_tensors(path, "this saved state is not used")
        for at, expected in state["checkpoints"].items():
            kept = self.checkpoint_path(at)
            if not kept.is_file() or sha256_file(kept) != expected:
                raise PipelineError(f"{kept} is damaged or missing, so {path.name} is not used")
        return state["content"]
