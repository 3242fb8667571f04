"""Work in chunks that are kept beside the output until it is whole: for resuming, and for sharing among several jobs.

Each chunk is cut at the same places and computed alone, so the output has the same bytes however often the work was
interrupted and however many jobs shared it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json, read_npz_dict, sha256_text, write_npz, write_text
from workflow_scripts.core.progress import Progress
from workflow_scripts.core.step import Step

Arrays = dict[str, Any]
Make = Callable[[range, Callable[[int], None]], Arrays]


class ChunkedWork:
    """Images 0 to `count` in chunks of `size`, towards the step's output `output`.

    Finished chunks lie in a hidden folder beside the output, in a folder named after `key` (JSON-like: settings, hashes of
    inputs and code), so that chunks of other work are never read. It is no output of any rule: a workflow manager neither
    takes a chunk for a result nor deletes it after a failure.

    A step that has an output `part` instead (a file in that hidden folder), and the settings `part` and `parts`, does its
    share of the chunks and no more; the job with the whole output finds them there.
    """

    def __init__(self, step: Step, output: str, count: int, size: int, key: Any):
        self.step, self.is_part = step, "part" in step.outputs
        self.chunks = cut(count, size)
        if self.is_part:
            self.chunks = share(self.chunks, step.setting("part"), step.setting("parts"))
            self.folder = step.output("part").parent
        else:
            self.folder = chunk_folder(step.output(output))
        self._own = self.folder / sha256_text(canonical_json(key))[:16]

    def complete(self, make: Make, label: str) -> list[Arrays]:
        """The arrays of each chunk, in order: those that are kept, and the others from `make`, kept as soon as made.

        `make(chunk, on_images)` gives arrays of `len(chunk)` rows by name and tells how many images of the chunk are
        done. Chunks that are damaged are made again.
        """
        found = {chunk: arrays for chunk in self.chunks if (arrays := self._load(chunk)) is not None}
        done = sum(map(len, found))
        if done:
            self.step.say(f"{label}: going on after {done} images")
        progress = Progress(label, sum(map(len, self.chunks)), "images", self.step.log, start=done)
        for chunk in self.chunks:
            if chunk not in found:
                found[chunk] = make(chunk, lambda images: progress.update(done + images))
                write_npz(self._path(chunk), **found[chunk])
                done += len(chunk)
        return [found[chunk] for chunk in self.chunks]

    def finish(self) -> None:
        """The work is done: a part writes its output, the whole has its chunks deleted once it ended, older ones too."""
        if self.is_part:
            write_text(self.step.output("part"), "")
        else:
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
    """Where the chunks of an output lie; the rules of the jobs that share it name the same folder."""
    return output.with_name(f".{output.stem}.chunks")


def cut(count: int, size: int) -> list[range]:
    """0 to `count` in ranges of `size`; the last may be shorter."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def share(chunks: list[range], part: int, parts: int) -> list[range]:
    """The chunks of job `part` of `parts` (1 to `parts`): neighbours, as many as any other has, or one more or fewer.

    ValueError for a part that does not exist.
    """
    if not 1 <= part <= parts:
        raise ValueError(f"there is no part {part} of {parts}")
    return chunks[(part - 1) * len(chunks) // parts : part * len(chunks) // parts]
