"""The benchmarks' harness: ratios above 1 favour ours, unequal results stop it, a table per hardware."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmark_modules(monkeypatch):
    """The folder of the benchmarks on the path; modules imported from it are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def comparison(distance: float = 0.0):
    from side_by_side import Comparison

    return Comparison(
        what="waiting",
        peer="waiting longer",
        ours=lambda: time.sleep(0.005),
        theirs=lambda: time.sleep(0.02),
        work=1,
        unit="s",
        check=lambda: distance,
        tolerance=1e-3,
        equality="nothing",
        bar=2.0,
    )


def test_a_ratio_above_one_means_that_ours_is_faster(monkeypatch):
    import side_by_side

    assert side_by_side.seconds(comparison().theirs) >= 0.02
    timed = comparison()
    monkeypatch.setattr(side_by_side, "seconds", {timed.ours: 0.005, timed.theirs: 0.02}.__getitem__)
    row = side_by_side.measure(timed, pairs=3)
    assert row.ratios == [4.0] * 3
    assert row.ratio == 4.0


@pytest.mark.parametrize("distance", [2e-3, float("nan")])
def test_no_ratio_where_the_results_differ(distance):
    from side_by_side import measure

    with pytest.raises(SystemExit, match="their times say nothing"):
        measure(comparison(distance), pairs=1)


def test_each_hardware_has_a_table_that_a_new_run_replaces(tmp_path):
    from benchmark_page import renew_page
    from side_by_side import measure

    page = tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n\nAbout.\n")
    row = measure(comparison(), pairs=2)
    renew_page(page, "an old CPU. torch 2.", [row, replace(row, what="running")])
    renew_page(page, "a new CPU. torch 2.", [row])
    renew_page(page, "an old CPU. torch 3.", [replace(row, what="swimming")])
    text = page.read_text()
    assert text.startswith("# Benchmarks\n\nAbout.\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## a new CPU", "## an old CPU"]
    new, old = text.split("## ")[1:]
    assert "| waiting | waiting longer |" in new
    assert "Measured with torch 3." in old
    assert "| swimming |" in old
    assert "running" not in old


@pytest.mark.parametrize(
    ("flags", "units"),
    [
        ("sse avx512_bf16 amx_bf16", "with AVX-512 BF16 and AMX BF16"),
        ("avx512_bf16", "with AVX-512 BF16"),
        ("sse", "without units for bfloat16"),
    ],
)
def test_the_hardware_names_its_units_for_bfloat16(monkeypatch, tmp_path, flags, units):
    import hardware

    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    hardware.CPU_INFO.write_text(f"processor : 0\nmodel name : A CPU\nflags : {flags}\n")
    assert hardware.describe_hardware("cpu", 2).startswith(
        f"A CPU, 1 cores, {units}, 2 threads on each side. "
    )
    assert hardware.precisions("cpu") == (("fp32", "bf16") if units.startswith("with ") else ("fp32",))
    assert hardware.precisions("cuda") == ("fp32", "bf16")


def test_training_equals_the_loop_of_diffusers():
    """The EMA networks' outputs after the same batches, relative to how far training moved them.

    Adam divides each gradient by its own size, so rounding decides the sign of those near zero: 1e-3, seen
    5e-4.
    """
    from networks import cifar_settings
    from training_step import distance_of_loops

    settings = {**cifar_settings(), "seed": 0, "arm": "E1"}
    settings["training"] = {**settings["training"], "batch_size": 4}
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    assert distance_of_loops(settings, images, torch.device("cpu")) < 1e-3


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_sampling_equals_the_pipelines_of_diffusers(monkeypatch, sampler):
    """Images in [-1, 1] from the same noise: 1e-4, seen below 1e-5; a grey level is 8e-3."""
    import sampling
    from networks import cifar_settings, our_network

    monkeypatch.setattr(sampling, "NFE", 10)
    settings, device = cifar_settings(), torch.device("cpu")
    network = our_network(settings).eval()
    theirs = sampling.TheirPipeline(network, settings, sampler, device)
    ours = sampling.OurSampling(network, settings, sampler, "fp32", device)
    assert sampling.distance(ours, theirs) < 1e-4
    other = sampling.OurSampling(network, settings, {"ddpm": "ddim", "ddim": "ddpm"}[sampler], "fp32", device)
    assert sampling.distance(other, theirs) > 1e-2


ADDER = """
import torch
def made_adder(number):
    if number < 0:
        raise ValueError("no negative number")
    return lambda other: (number + other, torch.get_num_threads())
"""


def test_our_side_runs_in_its_own_process_with_its_own_threads(monkeypatch, tmp_path):
    (tmp_path / "adder_of_a_test.py").write_text(ADDER)
    monkeypatch.syspath_prepend(str(tmp_path))
    from adder_of_a_test import made_adder
    from own_process import OwnProcess

    with OwnProcess(1, made_adder, 3) as call:
        assert call(4) == (7, 1)
        with pytest.raises(RuntimeError, match="TypeError"):
            call("a word")
    with pytest.raises(RuntimeError, match="ValueError: no negative number"):
        OwnProcess(1, made_adder, -1)
