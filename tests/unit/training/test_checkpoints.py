from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.training.checkpoints import load_checkpoint, save_checkpoint


def _save(path):
    weight = torch.arange(4000, dtype=torch.float32).reshape(40, 100)
    settings = {"arm": "A", "model": {"name": "m", "mults": [1, 2]}, "gamma": None}
    save_checkpoint(path, model={"w": weight}, ema={"w": weight + 1}, step=7, seed=3, settings=settings)
    return settings


def test_what_is_saved_is_what_is_loaded(tmp_path):
    settings = _save(tmp_path / "c.pt")
    checkpoint = load_checkpoint(tmp_path / "c.pt")
    assert torch.equal(checkpoint["model"]["w"].flatten(), torch.arange(4000.0))
    assert torch.equal(checkpoint["ema"]["w"], checkpoint["model"]["w"] + 1)
    assert (checkpoint["step"], checkpoint["seed"], checkpoint["settings"]) == (7, 3, settings)


def test_bytes_depend_on_the_values_only(tmp_path):
    _save(tmp_path / "one.pt")
    # another name, a view into a larger storage, gradients on, names built at run time
    weight = torch.arange(4000, dtype=torch.float32).reshape(40, 100)
    view = torch.cat((weight, weight))[:40].t().contiguous().t().requires_grad_()
    model, ema = {"".join(["", "w"]): view}, {str(b"w", "ascii"): view.detach() + 1}
    settings = {"gamma": None, "model": {"mults": [1, 2], "name": "m"}, "arm": "A"}
    save_checkpoint(tmp_path / "two.pt", model=model, ema=ema, step=7, seed=3, settings=settings)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pt").read_bytes()


def _flip_a_bit_of_the_weights(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[changed.index(np.arange(1000, 1010, dtype=np.float32).tobytes())] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: content[: len(content) // 3], _flip_a_bit_of_the_weights],
    ids=["empty", "truncated", "one bit flipped"],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, damage):
    _save(tmp_path / "c.pt")
    (tmp_path / "c.pt").write_bytes(damage((tmp_path / "c.pt").read_bytes()))
    with pytest.raises(PipelineError, match="c.pt is damaged"):
        load_checkpoint(tmp_path / "c.pt")


def test_a_missing_or_foreign_file_is_refused_by_name(tmp_path):
    with pytest.raises(PipelineError, match="cannot read .*none.pt"):
        load_checkpoint(tmp_path / "none.pt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(PipelineError, match="other.pt is not a checkpoint .it lacks model"):
        load_checkpoint(tmp_path / "other.pt")
    np.savez(tmp_path / "array.npz", a=np.zeros(3))
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"model": 1}))
    for name in ("array.npz", "plain.pt"):
        with pytest.raises(PipelineError, match=name):
            load_checkpoint(tmp_path / name)


class _Evil:
    def __reduce__(self):
        return (open, ("evil.txt", "w"))


def test_code_in_a_checkpoint_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": _Evil()}, tmp_path / "c.pt")
    with pytest.raises(PipelineError, match="c.pt"):
        load_checkpoint(tmp_path / "c.pt")
    assert not (tmp_path / "evil.txt").exists()
