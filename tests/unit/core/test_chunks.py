"""Interrupted work goes on from its last chunk, and nothing stale or damaged is used."""

import numpy as np
import pytest

from workflow_scripts.core.chunks import ChunkedWork, chunk_folder
from workflow_scripts.core.step import Step


@pytest.mark.parametrize("count", [0, 1, 6, 7, 20])
@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_every_number_is_in_one_chunk_and_in_order(tmp_path, count, size):
    step = Step("step", {}, outputs={"out": [tmp_path / "out.npz"]})
    chunks = ChunkedWork(step, "out", count, size, "").chunks
    assert [number for chunk in chunks for number in chunk] == list(range(count))
    assert all(chunk.start % size == 0 and len(chunk) == size for chunk in chunks[:-1])


class Work:
    """Squares of 0 to 10, three at a time; it remembers which chunks it was asked for."""

    def __init__(self, folder, key="key", fail_at=None):
        self.step = Step("step", {}, outputs={"out": [folder / "out.npz"]})
        self.key, self.made, self.fail_at = key, [], fail_at

    def make(self, chunk, on_images):
        if chunk.start == self.fail_at:
            raise KeyboardInterrupt
        self.made.append(chunk.start)
        on_images(len(chunk))
        return {"squares": np.array(chunk) ** 2}

    def complete(self):
        chunks = ChunkedWork(self.step, "out", 11, 3, self.key).complete(self.make, "squares")
        return np.concatenate([arrays["squares"] for arrays in chunks]).tolist()


SQUARES = [number**2 for number in range(11)]


@pytest.fixture
def interrupted(tmp_path):
    """A folder in which the work stopped in the third of four chunks."""
    with pytest.raises(KeyboardInterrupt):
        Work(tmp_path, fail_at=6).complete()
    return tmp_path


@pytest.mark.parametrize(("key", "made"), [("key", [6, 9]), ({"seed": 2}, [0, 3, 6, 9])])
def test_it_goes_on_from_the_last_chunk_of_the_same_work_and_leaves_none(interrupted, capsys, key, made):
    again = Work(interrupted, key)
    assert again.complete() == SQUARES and again.made == made
    said = capsys.readouterr().err
    assert ("squares: going on after 6 images" in said) == (key == "key") and "squares: 11/11 images" in said
    for tidy_up in again.step.afterwards:
        tidy_up()
    assert list(interrupted.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "other rows"])
def test_a_damaged_chunk_is_made_again(interrupted, damage):
    path = min(chunk_folder(interrupted / "out.npz").rglob("*.npz"))
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[:-20])
    elif damage == "flipped":  # within the packed values
        path.write_bytes(content[:100] + bytes([content[100] ^ 0xFF]) + content[101:])
    else:
        np.savez(path, squares=np.zeros(2, dtype=np.int64))
    again = Work(interrupted)
    assert again.complete() == SQUARES and again.made == [0, 6, 9]
