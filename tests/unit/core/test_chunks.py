"""Work that is cut off goes on from its last chunk, work that is shared gives the same arrays, and nothing stale is used."""

import numpy as np
import pytest

from workflow_scripts.core.chunks import ChunkedWork, chunk_folder, cut, share
from workflow_scripts.core.step import Step


@pytest.mark.parametrize("count", [0, 1, 6, 7, 20])
@pytest.mark.parametrize("size", [1, 3, 7, 50])
@pytest.mark.parametrize("parts", [1, 2, 3, 5, 30])
def test_every_number_is_in_one_chunk_of_one_part_and_in_order(count, size, parts):
    chunks = cut(count, size)
    assert [number for chunk in chunks for number in chunk] == list(range(count))
    assert all(chunk.start % size == 0 and len(chunk) == size for chunk in chunks[:-1])
    shares = [share(chunks, part, parts) for part in range(1, parts + 1)]
    assert [chunk for part in shares for chunk in part] == chunks
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("part", [0, 4, -1])
def test_a_part_that_does_not_exist_is_refused(part):
    with pytest.raises(ValueError, match=f"no part {part} of 3"):
        share(cut(9, 3), part, 3)


class Work:
    """Squares of 0 to 10, three at a time; it remembers which chunks it was asked for."""

    def __init__(self, folder, key="key", fail_at=None, **settings):
        outputs = (
            {"part": [chunk_folder(folder / "out.npz") / f"part{settings['part']}"]}
            if settings
            else {"out": [folder / "out.npz"]}
        )
        self.work = ChunkedWork(Step("step", settings, {}, outputs), "out", 11, 3, key)
        self.made, self.fail_at = [], fail_at

    def make(self, chunk, on_images):
        if chunk.start == self.fail_at:
            raise KeyboardInterrupt
        self.made.append(chunk.start)
        on_images(len(chunk))
        return {"squares": np.array(chunk) ** 2}

    def end(self):
        self.work.finish()
        for tidy_up in self.work.step.afterwards:
            tidy_up()

    def complete(self):
        return np.concatenate(
            [arrays["squares"] for arrays in self.work.complete(self.make, "squares")]
        ).tolist()


SQUARES = [number**2 for number in range(11)]


@pytest.fixture
def interrupted(tmp_path):
    """A folder in which the work stopped in the third of four chunks."""
    with pytest.raises(KeyboardInterrupt):
        Work(tmp_path, fail_at=6).complete()
    return tmp_path


def test_it_goes_on_from_the_last_finished_chunk(interrupted, capsys):
    assert not (interrupted / "out.npz").exists()
    again = Work(interrupted)
    assert again.complete() == SQUARES and again.made == [6, 9]
    said = capsys.readouterr().err
    assert "squares: going on after 6 images" in said and "squares: 11/11 images" in said
    again.end()
    assert list(interrupted.iterdir()) == []


def test_chunks_of_another_key_are_never_used_and_are_deleted_in_the_end(interrupted):
    other = Work(interrupted, key={"seed": 2})
    assert other.complete() == SQUARES and other.made == [0, 3, 6, 9]
    other.end()
    assert list(interrupted.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "rows", "folder"])
def test_a_damaged_chunk_is_made_again(interrupted, damage):
    path = min(chunk_folder(interrupted / "out.npz").rglob("*.npz"))
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[:-20])
    elif damage == "flipped":
        path.write_bytes(
            content[:100] + bytes([content[100] ^ 0xFF]) + content[101:]
        )  # within the packed values
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "rows":
        np.savez(path, squares=np.zeros(2, dtype=np.int64))
    else:
        path.unlink()
        path.with_suffix("").mkdir()
    again = Work(interrupted)
    assert again.complete() == SQUARES and again.made == [0, 6, 9]


@pytest.mark.parametrize("parts", [2, 3, 6])
def test_the_whole_finds_what_its_parts_have_done(tmp_path, parts):
    made = []
    for part in reversed(range(1, parts + 1)):
        job = Work(tmp_path, part=part, parts=parts)
        job.work.complete(job.make, "squares")
        job.end()
        made += job.made
        assert not (tmp_path / "out.npz").exists()
    assert sorted(made) == [0, 3, 6, 9]
    whole = Work(tmp_path)
    assert whole.complete() == SQUARES and whole.made == []
    whole.end()
    assert list(tmp_path.iterdir()) == []


def test_the_whole_does_what_a_part_has_left(tmp_path):
    job = Work(tmp_path, part=2, parts=3)
    job.work.complete(job.make, "squares")
    whole = Work(tmp_path)
    assert whole.complete() == SQUARES and whole.made == [0, 6, 9]
