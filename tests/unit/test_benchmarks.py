"""The harness of the benchmarks: which way its ratios go, that unequal results stop it, and what it leaves on its page."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark_modules(monkeypatch):
    """The folder of the benchmarks on the path; what is imported from it is forgotten afterwards."""
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


def test_a_ratio_above_one_means_that_ours_is_faster(benchmark_modules, monkeypatch):
    import side_by_side
    from side_by_side import measure, seconds

    assert 0.02 <= seconds(comparison().theirs) < 20  # how much more a sleep takes is up to what else runs
    timed = comparison()
    monkeypatch.setattr(side_by_side, "seconds", {timed.ours: 0.005, timed.theirs: 0.02}.__getitem__)
    row = measure(timed, pairs=3)
    assert row.ratios == [4.0] * 3 and row.ratio == 4.0


def test_the_limit_is_the_ratio_of_arithmetic_alone(benchmark_modules, monkeypatch):
    """Theirs takes 20 ms, and ours' arithmetic is half a product of 2 ms."""
    import side_by_side
    from benchmark_page import table
    from side_by_side import measure

    timed = replace(comparison(), arithmetic=(lambda: None, 0.5))
    clock = {timed.ours: 0.005, timed.theirs: 0.02, timed.arithmetic[0]: 0.002}
    with monkeypatch.context() as patched:
        patched.setattr(side_by_side, "seconds", clock.__getitem__)
        row = measure(timed, pairs=3)
    assert row.limit == pytest.approx(20)
    assert 10 < row.limit < 21
    assert f"| {row.limit:.2f}× |" in table([row])
    assert measure(comparison(), pairs=1).limit is None


def test_the_arithmetic_of_training_is_thrice_that_of_the_forward_pass(benchmark_modules):
    """Each product has two others as its derivatives, but for the two layers whose input needs none: image and timestep."""
    from networks import cifar_settings, our_network, size, training_flop

    network = our_network(cifar_settings())
    image, timestep = network.stem.weight.numel() * 32 * 32, network.time_embedding.layers[0].weight.numel()
    assert training_flop(network) == 3 * size(network)[1] - 2 * (image + timestep)


@pytest.mark.parametrize("distance", [2e-3, float("nan")])
def test_no_ratio_where_the_results_differ(benchmark_modules, distance):
    from side_by_side import measure

    with pytest.raises(SystemExit, match="their times say nothing"):
        measure(comparison(distance), pairs=1)


def test_the_page_keeps_what_another_device_measured(benchmark_modules, tmp_path):
    from benchmark_page import renew_page
    from side_by_side import measure

    page = tmp_path / "benchmarks.md"
    published = (BENCHMARKS.parents[1] / "docs/benchmarks.md").read_text()
    page.write_text(re.sub("(?s)(<!-- cpu: .*?-->).*(<!-- end of cpu)", r"\1\n\2", published))
    row = measure(comparison(), pairs=1)
    renew_page(page, "cuda", "a GPU", [row])
    renew_page(page, "cpu", "a CPU", [row, row])
    text = page.read_text()
    gpu, cpu = text[text.index("<!-- cuda") :], text[text.index("<!-- cpu") : text.index("<!-- end of cpu")]
    assert gpu.count("| waiting | waiting longer |") == 1
    assert cpu.count("| waiting | waiting longer |") == 2
    assert "a GPU" in gpu and "a CPU" in cpu
    page.write_text("no markers")
    with pytest.raises(SystemExit, match="put both lines back"):
        renew_page(page, "cpu", "a CPU", [row])


def test_one_file_renews_its_rows_and_leaves_the_others(benchmark_modules, tmp_path):
    from benchmark_page import renew_page
    from side_by_side import measure

    page = tmp_path / "benchmarks.md"
    page.write_text("<!-- cpu: made by `make bench` -->\nNot measured yet.\n<!-- end of cpu -->\n")
    row = replace(measure(comparison(), pairs=2), day="2026-01-01")
    first = [replace(row, what=what) for what in ("walking, slowly", "walking, fast", "running, fast")]
    assert renew_page(page, "cpu", "a CPU.", first)
    again = [replace(row, what=what, day="2026-02-02") for what in ("walking, backwards", "swimming")]
    assert renew_page(page, "cpu", "a CPU.", again)
    lines = [line for line in page.read_text().splitlines() if line.startswith(("| ", "- **"))]
    named = [line.lstrip("|-* ").split("|")[0].split("**")[0].strip() for line in lines]
    order = ["walking, backwards", "running, fast", "swimming"]
    assert named == ["what", *order, *order]
    assert [line.split("|")[-2].strip() for line in lines[1:4]] == [
        f"{day}, 2 pairs" for day in ("2026-02-02", "2026-01-01", "2026-02-02")
    ]


def test_each_hardware_has_a_table_of_its_own(benchmark_modules, tmp_path):
    from benchmark_page import renew_page
    from side_by_side import measure

    page = tmp_path / "benchmarks.md"
    page.write_text("<!-- cpu: made by `make bench` -->\nNot measured yet.\n<!-- end of cpu -->\n")
    row = measure(comparison(), pairs=2)
    walking, running, swimming = (
        replace(row, what=what) for what in ("walking, fast", "running, fast", "swimming")
    )
    assert renew_page(page, "cpu", "an old CPU. Python 3.11, torch 2.", [walking, running])
    assert renew_page(page, "cpu", "a new CPU. Python 3.11, torch 2.", [walking])

    def tables() -> dict[str, list[str]]:
        parts = page.read_text().split("What both sides are")[0].split("Measured on ")[1:]
        lines = {part.split("\n")[0]: part.split("\n")[4:] for part in parts}
        return {
            name: [line.split("|")[1].split(",")[0].strip() for line in table if line]
            for name, table in lines.items()
        }

    both = {
        "an old CPU. Python 3.11, torch 2.": ["walking", "running"],
        "a new CPU. Python 3.11, torch 2.": ["walking"],
    }
    assert tables() == both and page.read_text().count("- **walking") == 1

    # what only the other hardware measured keeps its note
    assert renew_page(
        page, "cpu", "a new CPU. Python 3.11, torch 2.", [replace(walking, what="walking, slowly")]
    )
    assert re.findall(r"- \*\*(.*?)\*\*", page.read_text()) == [
        "walking, slowly",
        "walking, fast",
        "running, fast",
    ]

    # with other packages only the whole of `make bench` takes the place of what that hardware measured
    before = page.read_text()
    assert (
        not renew_page(page, "cpu", "an old CPU. Python 3.11, torch 3.", [swimming])
        and page.read_text() == before
    )
    assert renew_page(page, "cpu", "an old CPU. Python 3.11, torch 3.", [swimming], whole=True)
    assert tables() == {
        "a new CPU. Python 3.11, torch 2.": ["walking"],
        "an old CPU. Python 3.11, torch 3.": ["swimming"],
    }
    assert "running" not in page.read_text()


@pytest.mark.parametrize(
    "flags, units",
    [
        ("sse avx512_bf16 amx_bf16", "with AVX-512 BF16 and AMX BF16"),
        ("avx512_bf16", "with AVX-512 BF16"),
        ("sse", "without units for bfloat16"),
    ],
)
def test_the_hardware_names_what_multiplies_bfloat16(benchmark_modules, monkeypatch, tmp_path, flags, units):
    import hardware

    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    hardware.CPU_INFO.write_text(f"processor : 0\nmodel name : A CPU\nflags : {flags}\n")
    assert hardware.describe_hardware("cpu", 2).startswith(
        f"A CPU, 1 cores, {units}, 2 threads on each side. Python "
    )
    assert hardware.precisions("cpu") == (("fp32", "bf16") if units.startswith("with ") else ("fp32",))
    assert hardware.precisions("cuda") == ("fp32", "bf16")


def test_training_equals_the_loop_of_diffusers(benchmark_modules):
    """One network in both loops on the same batches: what the EMA weights predict, relative to how far training moved it.

    Adam divides each gradient by its own size, so that rounding decides the sign of those near zero: 1e-3, seen 5e-4.
    """
    from networks import cifar_settings
    from training_step import distance_of_loops

    settings = {**cifar_settings(), "seed": 0, "arm": "E1"}
    settings["training"] = {**settings["training"], "batch_size": 4}
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    assert distance_of_loops(settings, images, torch.device("cpu")) < 1e-3


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_sampling_equals_the_pipelines_of_diffusers(benchmark_modules, monkeypatch, sampler):
    """Images in [-1, 1] from the same noise: 1e-4, seen below 1e-5; a grey level is 8e-3."""
    import sampling
    from networks import cifar_settings, our_network

    monkeypatch.setattr(sampling, "NFE", 10)
    settings, device = cifar_settings(), torch.device("cpu")
    network = our_network(settings).eval()
    ours = sampling.OurSampling(network, settings, sampler, "fp32", device)
    assert sampling.distance(ours, sampling.TheirPipeline(network, settings, sampler, device)) < 1e-4
    other = sampling.OurSampling(network, settings, {"ddpm": "ddim", "ddim": "ddpm"}[sampler], "fp32", device)
    assert sampling.distance(other, sampling.TheirPipeline(network, settings, sampler, device)) > 1e-2


ADDER = """
import torch
def made_adder(number):
    if number < 0:
        raise ValueError("no negative number")
    return lambda other: (number + other, torch.get_num_threads())
"""


def test_our_side_runs_in_a_process_of_its_own_with_the_threads_it_is_given(
    benchmark_modules, monkeypatch, tmp_path
):
    (tmp_path / "adder_of_a_test.py").write_text(ADDER)
    monkeypatch.syspath_prepend(str(tmp_path))
    from adder_of_a_test import made_adder
    from own_process import OwnProcess

    with OwnProcess(1, made_adder, 3) as call:
        assert call(4) == (7, 1)
        call.start(5)
        assert call.result() == (8, 1)
        with pytest.raises(RuntimeError, match="TypeError"):
            call("a word")
    with pytest.raises(RuntimeError, match="ValueError: no negative number"):
        OwnProcess(1, made_adder, -1)
