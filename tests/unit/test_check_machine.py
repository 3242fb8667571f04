"""Refusing early: the estimate, its cheap bound, and the one line that says what to change."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import pytest

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.step import Step
from workflow_scripts.steps import check_machine
from workflow_scripts.steps.check_machine import ESTIMATES, main, require_room
from workflow_scripts.study.config import load_study
from workflow_scripts.study.memory_bound import PROCESS, memory_bound

ROOT = Path(__file__).parents[2]
PRESETS = sorted(path.stem for path in (ROOT / "config/preset").glob("*.yaml"))
GIB = 2**30


def _settings(preset: str, **changes) -> dict:
    settings = copy.deepcopy(load_study(ROOT, "MS1_min_snr", preset).arms[0].settings)
    for section, values in changes.items():
        settings[section].update(values)
    return settings


@pytest.mark.parametrize("preset", PRESETS)
def test_the_cheap_bound_is_never_below_the_estimate(preset):
    # twice, since measured peaks lay up to a quarter above the estimate
    for rule, estimate in ESTIMATES.items():
        assert memory_bound(_settings(preset)) - PROCESS > 2 * estimate(_settings(preset), True), rule


@pytest.mark.parametrize(
    ("rule", "section", "key"),
    [
        ("train_model", "training", "batch_size"),
        ("sample_images", "sampling", "batch_size"),
        ("probe_checkpoint", "curvature", "batch_size"),
    ],
)
def test_a_batch_of_twice_the_size_needs_twice_the_activations(rule, section, key):
    def need(size: int) -> int:
        return ESTIMATES[rule](
            _settings("cifar10", **{section: {key: size}, "data": {"num_train": 1}}), False
        )

    first, second, third = need(512), need(1024), need(1536)
    if rule == "sample_images":  # never more images at once than there are
        assert need(20000) == need(10000)
    assert second - first == pytest.approx(third - second, rel=1e-3) and second > 1.5 * first


def test_training_holds_five_numbers_per_parameter_and_the_dataset():
    settings = _settings("digits", training={"batch_size": 1}, data={"num_train": 10**6})
    parameters = sum(parameter.numel() for parameter in check_machine._network(settings).parameters())
    on_gpu, on_cpu = (ESTIMATES["train_model"](settings, on_cpu) for on_cpu in (False, True))
    # with batches of one image the copies that saving makes are the most that comes on top
    assert on_gpu == on_cpu == (20 + 32) * parameters + 10**6 * (64 + 8)


def test_one_job_that_does_not_fit_names_the_keys_to_lower():
    needs = [(2 * GIB, "sample_images", 9), (5 * GIB, "train_model", 1)]
    require_room(needs, 1, 5 * GIB, "memory")
    with pytest.raises(PipelineError) as refused:
        require_room(needs, 1, 4 * GIB, "memory")
    assert str(refused.value) == (
        "one train_model needs about 5.0 GiB of memory, 4.0 GiB are available; "
        "lower training.batch_size or model.base_channels in the preset"
    )


@pytest.mark.parametrize(("available", "fits"), [(5, 1), (6.9, 1), (7, 2), (8.9, 2)])
def test_jobs_that_do_not_fit_together_are_told_how_many_do(available, fits):
    needs = [(2 * GIB, "sample_images", 9), (5 * GIB, "train_model", 1)]
    require_room(needs, 4, 11 * GIB, "memory")
    with pytest.raises(
        PipelineError, match=rf"4 jobs at once need about 11.0 GiB .*\(--cores {fits}, make: CORES={fits}\)"
    ):
        require_room(needs, 4, int(available * GIB), "memory")


def test_memory_given_to_snakemake_counts_as_what_is_there(monkeypatch):
    monkeypatch.setattr(check_machine, "base_bytes", lambda: 400 * 2**20)  # this process has run other tests
    jobs = [{"rule": "train_model", "count": 3, "settings": _settings("smoke")}]
    settings = {"jobs": jobs, "cores": 2, "memory_mb": 4000}
    main(Step("check_machine", settings, machine={"device": "cpu"}))
    with pytest.raises(PipelineError, match="0.3 GiB are available"):
        main(Step("check_machine", {**settings, "memory_mb": 300}, machine={"device": "cpu"}))


def test_a_gpu_that_is_not_there_is_refused_and_named(monkeypatch):
    monkeypatch.setattr(check_machine.torch.cuda, "is_available", lambda: False)
    settings = {"jobs": [], "cores": 1, "memory_mb": None}
    with pytest.raises(
        PipelineError,
        match="device: cuda is asked for, but torch sees no GPU here .* set device: auto or cpu",
    ):
        main(Step("check_machine", settings, machine={"device": "cuda"}))
    step = Step("check_machine", settings, machine={"device": "auto"})
    main(step)
    assert step.machine["device"] == "cpu"  # what auto came to, for the manifest


def test_a_real_training_takes_about_what_was_estimated(tmp_path):
    """Growing with the batch, within a third; all steps and presets are in tests/benchmarks/memory_estimate.py."""
    path = ROOT / "tests/benchmarks/memory_estimate.py"
    module = importlib.util.module_from_spec(
        spec := importlib.util.spec_from_file_location("memory_estimate", path)
    )
    spec.loader.exec_module(module)
    real, estimated = {}, {}
    # two sizes, so that what the libraries take drops out
    for size in (32, 128):
        settings = _settings("cifar10_micro", data={"num_train": 500}, training={"batch_size": size})
        folder = tmp_path / str(size)
        folder.mkdir()
        module.make_dataset(settings, folder, 500)
        real[size] = module.measured("train_model", settings, folder)
        estimated[size] = ESTIMATES["train_model"](settings, True)
    difference = estimated[128] - estimated[32]
    assert difference > 200 * 2**20 and 0.67 < (real[128] - real[32]) / difference < 1.33, (real, estimated)
