"""What a training run keeps on disk until it is done, so that a run that was killed goes on instead of starting again.

    <folder>/<identity>/step0000500.pt     checkpoints reached so far, byte for byte what the outputs will be
    <folder>/<identity>/step0000617.state  the newest two saved states

The folder is no output of any rule: a workflow manager deletes the outputs of a job that failed, and takes none of these
for a result. Every file is complete or absent, and a state that is damaged, or lacks one of its checkpoints, is refused.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import atomic_path, canonical_json, sha256_file, sha256_text, write_bytes
from workflow_scripts.training.checkpoints import DAMAGE

GENERATIONS = 2


class SavedRun:
    """The kept files of one run; only one process at a time may use them (`core/step.py` sees to that).

    `identity` (JSON-like) holds all that decides the result: settings, hashes of data and code. Files of another identity
    are never read; they go when the run is done. `say` gets one line for whatever is refused.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], say: Callable[[str], None]):
        self.root, self.say = folder, say
        self.identity = sha256_text(canonical_json(identity))
        self.folder = folder / self.identity[:16]

    def prepare(self) -> None:
        """Make the folder, and delete what a process that was killed left half-written there."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PipelineError(
                f"cannot write {self.folder}: {error.strerror}; make room or fix the permissions"
            ) from error
        for path in self._files():
            if path.name.startswith("."):
                path.unlink(missing_ok=True)

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint after `step` updates is kept."""
        return self.folder / f"step{step:07d}.pt"

    def save(self, step: int, content: Mapping[str, Any]) -> None:
        """Save `content` (tensors, numbers, text, lists, dicts) as the state after `step` updates; the newest two stay.

        The state holds the sha256 of every checkpoint up to `step`, which must be kept by then.
        """
        checkpoints = {at: sha256_file(path) for at, path in self._numbered(".pt") if at <= step}
        buffer = io.BytesIO()
        torch.save(
            {"identity": self.identity, "step": step, "checkpoints": checkpoints, "content": dict(content)},
            buffer,
        )
        payload = buffer.getbuffer()
        write_bytes(self._state_path(step), hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
        for _, path in self._numbered(".state")[:-GENERATIONS]:
            path.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """The content of the newest state that is whole, on the CPU; None to start at the beginning.

        States that are refused are named and deleted, so that they never push a whole one out.
        """
        refused = False
        for step, path in reversed(self._numbered(".state")):
            try:
                return self._read(step, path)
            except PipelineError as error:
                self.say(f"{error}; this saved state is not used")
                path.unlink(missing_ok=True)
                refused = True
        others = [path.name for path in sorted(self.root.iterdir()) if path.is_dir() and path != self.folder]
        if refused:
            self.say("no saved state is left; training starts from the beginning")
        elif others:
            self.say(
                "saved states of other settings, data or code are not used; training starts from the beginning"
            )
        return None

    def publish(self, step: int, output: Path) -> None:
        """Put the kept checkpoint at `output` as well: as a second name of the same file, or as a copy."""
        kept = self.checkpoint_path(step)
        if output.exists() and os.path.samefile(kept, output):
            return  # by a process that was killed right after; renaming a file's one name to its other does nothing
        with atomic_path(output) as temporary:
            temporary.unlink()
            try:
                os.link(kept, temporary)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(kept, temporary)

    def discard(self) -> None:
        """Delete what this run kept, and nothing of other identities; for a run that must not be resumed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if not any(path.is_dir() for path in self.root.iterdir()):
            self.finish()

    def finish(self) -> None:
        """Delete everything, also what other identities left; for a run whose outputs are complete."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _state_path(self, step: int) -> Path:
        return self.folder / f"step{step:07d}.state"

    def _files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def _numbered(self, suffix: str) -> list[tuple[int, Path]]:
        """(step, path) of the kept files with this suffix, in the order of the steps. Times of files decide nothing."""
        found = [path for path in self._files() if path.suffix == suffix and not path.name.startswith(".")]
        return sorted((int(path.stem.removeprefix("step")), path) for path in found)

    def _read(self, step: int, path: Path) -> dict[str, Any]:
        """PipelineError naming the file when one bit of it, or of a checkpoint it needs, is not what was written."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise PipelineError(f"cannot read {path}: {error.strerror}") from error
        digest, _, payload = content.partition(b"\n")
        if hashlib.sha256(payload).hexdigest().encode() != digest:
            raise PipelineError(f"{path} is damaged: it does not match its sha256")
        try:
            state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
            if (state["identity"], state["step"]) != (self.identity, step):
                raise ValueError("it belongs to another run or step")
        except DAMAGE as error:
            raise PipelineError(
                f"{path} is no saved state of this run: {str(error).splitlines()[0]}"
            ) from error
        for at, expected in state["checkpoints"].items():
            kept = self.checkpoint_path(at)
            if not kept.is_file() or sha256_file(kept) != expected:
                raise PipelineError(f"{kept} is damaged or missing, so {path.name} is incomplete")
        return state["content"]
