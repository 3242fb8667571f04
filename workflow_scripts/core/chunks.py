"""Work in chunks that are kept beside the output until it is complete, so that an interrupted job resumes.

Chunks are cut at fixed places and each is computed alone, so the output has the same bytes however often the
work was interrupted.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json, read_npz_dict, sha256_text, write_npz
from workflow_scripts.core.progress import Progress
from workflow_scripts.core.step import Step

Arrays = dict[str, Any]
Make = Callable[[range, Callable[[int], None]], Arrays]


class ChunkedWork:
    """Images 0 to `count` in chunks of `size`, for the step's output `output`.

    Finished chunks are kept in a hidden folder beside the output, below a folder named after `key`
    (JSON-like: settings, hashes of inputs and code), so that chunks of other work are never used. No rule
    names them as outputs: Snakemake neither takes a chunk for a result nor deletes it after a failure.
    """

    def __init__(self, step: Step, output: str, count: int, size: int, key: Any):
        self.step = step
        self.chunks = [range(start, min(start + size, count)) for start in range(0, count, size)]
        self.folder = chunk_folder(step.output(output))
        self._own = self.folder / sha256_text(canonical_json(key))[:16]

    def complete(self, make: Make, label: str, unit: str = "images") -> list[Arrays]:
        """Return the arrays of each chunk in order: kept ones, and new ones from `make`, kept at once.

        `make(chunk, on_images)` returns arrays of `len(chunk)` rows by name, and calls `on_images` with the
        number of images of the chunk that are done. Damaged chunks are made again. When the step has
        succeeded, all chunks of this output are deleted.
        """
        found = {chunk: arrays for chunk in self.chunks if (arrays := self._load(chunk)) is not None}
        done = sum(map(len, found))
        if done:
            self.step.say(f"{label}: going on after {done} {unit}")
        progress = Progress(label, sum(map(len, self.chunks)), unit, self.step.log, start=done)
        for chunk in self.chunks:
            if chunk not in found:
                found[chunk] = make(chunk, lambda images, before=done: progress.update(before + images))
                write_npz(self._path(chunk), **found[chunk])
                done += len(chunk)
        self.discard()
        return [found[chunk] for chunk in self.chunks]

    def discard(self) -> None:
        """Delete all chunks of this output once the step has succeeded."""
        self.step.afterwards.append(lambda: shutil.rmtree(self.folder, ignore_errors=True))

    def _load(self, chunk: range) -> Arrays | None:
        with contextlib.suppress(PipelineError):
            arrays = read_npz_dict(self._path(chunk))
            if arrays and all(array.shape[:1] == (len(chunk),) for array in arrays.values()):
                return arrays
        return None

    def _path(self, chunk: range) -> Path:
        return self._own / f"{chunk.start:08d}-{chunk.stop:08d}.npz"


def chunk_folder(output: Path) -> Path:
    """The folder of an output's chunks."""
    return output.with_name(f".{output.stem}.chunks")
