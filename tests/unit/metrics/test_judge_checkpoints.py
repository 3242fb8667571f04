"""All checkpoints of a run judged in one job: the rows of the steps that draw, extract and measure."""

from __future__ import annotations

import json

import pytest
import torch

from tests.tiny_run import tiny_network, tiny_settings
from tests.unit.metrics import test_metric_steps as steps
from workflow_scripts.core.chunks import chunk_folder
from workflow_scripts.core.step import run
from workflow_scripts.metrics.extractors import Extractor
from workflow_scripts.steps import judge_checkpoints, sample_images
from workflow_scripts.study.results import read_rows
from workflow_scripts.training.checkpoints import save_checkpoint

TRAINED = tiny_settings()
POINT = {"sampler": "ddpm", "eta": None, "nfe": 4}
# Two batches of samples and two of features, the last ones smaller.
SETTINGS = {name: TRAINED[name] for name in ("seed", "method", "model", "data", "diffusion")} | {
    "sampling": {"batch_size": 80, "clip_x_start": True, "precision": "bf16"},
    "num_samples": 130,
}
ROW = {name: steps.ROW[name] for name in ("study", "preset", "arm")}


@pytest.fixture
def ready(tmp_path):
    """An extractor, its reference, and three checkpoints; the run diverged before the last."""
    folder = steps.write_inputs(tmp_path)
    steps.run_train_extractor(folder)
    steps.run_compute_reference(folder)
    state = tiny_network().state_dict()
    for at in (10, 20, 30):
        torch.manual_seed(at)
        ema = {name: value + 0.02 * torch.randn(value.shape) for name, value in state.items()}
        weights = {"model": ema, "ema": ema} if at < 30 else {"model": {}, "ema": {}, "diverged_at": 25}
        save_checkpoint(folder / f"{at}.pt", **weights, step=at, seed=TRAINED["seed"], settings=TRAINED)
    return folder


def judge(folder):
    settings = SETTINGS | ROW | {"extractor": steps.EXTRACTOR, "point": POINT | {"name": "few"}}
    inputs = {"weights": "extractor.pt", "extractor_info": "extractor.json"}
    inputs |= {"reference": "reference.npz", "reference_info": "reference.json"}
    argv = ["--settings", json.dumps(settings | {"steps": [10, 20, 30]})]
    argv += ["--input", "checkpoints", *(str(folder / f"{at}.pt") for at in (10, 20, 30))]
    for name, file in inputs.items():
        argv += ["--input", name, str(folder / file)]
    run(judge_checkpoints.main, [*argv, "--output", "metrics", str(folder / "by_step.json")])
    return read_rows(folder / "by_step.json")


def test_rows_are_those_of_the_single_steps_to_the_last_bit(ready):
    expected = []
    for at in (10, 20):
        (ready / "checkpoint.pt").write_bytes((ready / f"{at}.pt").read_bytes())
        inputs, outputs = f"checkpoint={at}.pt", "samples=samples.npz"
        steps.call(sample_images.main, SETTINGS | {"point": POINT}, ready, inputs, outputs)
        steps.run_extract_features(ready)
        (row,) = steps.run_measure(ready, name="few", num_samples=130, nfe=4)
        expected.append(row | {"seed": TRAINED["seed"], "from": row["from"] | {"step": at}})
    assert expected[0]["value"] != expected[1]["value"]
    assert judge(ready) == expected


def test_interrupted_it_goes_on_with_the_next_checkpoint(ready, monkeypatch, capsys):
    whole = judge(ready)
    content = (ready / "by_step.json").read_bytes()
    (ready / "by_step.json").unlink()
    extract, calls = Extractor.in_batches, []

    def stopped(extractor, images):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return extract(extractor, images)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Extractor, "in_batches", stopped)
        judge(ready)
    assert not (ready / "by_step.json").exists()
    assert judge(ready) == whole and (ready / "by_step.json").read_bytes() == content
    said = capsys.readouterr().err
    assert "going on after 1 checkpoints" in said and "the run diverged at step 25" in said
    assert not chunk_folder(ready / "by_step.json").exists()
