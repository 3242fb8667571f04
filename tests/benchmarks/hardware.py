"""What the benchmarks ran on, in a sentence."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torch", "diffusers", "torch-fidelity", "pytorch-fid", "PyHessian", "numpy", "scipy", "snakemake")


def describe_hardware(device: str, threads: int) -> str:
    """Processor or GPU, threads, Python and the packages compared."""
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        what = f"{properties.name} ({properties.total_memory / 2**30:.0f} GiB), CUDA {torch.version.cuda}, beside {_processor()}"
    else:
        what = f"{_processor()}, {threads} threads on each side"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{what}. Python {platform.python_version()}, {packages}."


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    cores = sum(line.startswith("processor") for line in lines)
    flags = next((line for line in lines if line.startswith("flags")), "")
    bf16 = "with AVX-512 BF16" if "avx512_bf16" in flags else "without AVX-512 BF16"
    return f"{model or 'an unnamed processor'}, {cores} cores, {bf16}"
