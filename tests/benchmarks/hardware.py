"""What the benchmarks run on: in a sentence, and in which precisions it is worth measuring."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torch", "diffusers", "torch-fidelity", "pytorch-fid", "PyHessian", "numpy", "scipy", "snakemake")
CPU_INFO = Path("/proc/cpuinfo")
# What a processor multiplies bfloat16 with, by the flag that Linux gives it: vectors, or the far faster matrix tiles.
BF16_UNITS = {"avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX BF16"}


def describe_hardware(device: str, threads: int) -> str:
    """Processor or GPU, threads, Python and the packages compared."""
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        what = f"{properties.name} ({properties.total_memory / 2**30:.0f} GiB), CUDA {torch.version.cuda}, beside {_processor()}"
    else:
        what = f"{_processor()}, {threads} threads on each side"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{what}. Python {platform.python_version()}, {packages}."


def precisions(device: str) -> tuple[str, ...]:
    """What is worth measuring on a device: bf16 not on a processor without units for it, where casts only add to the work."""
    return ("fp32", "bf16") if device != "cpu" or _bf16_units(_cpu_info()) else ("fp32",)


def _cpu_info() -> list[str]:
    return CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []


def _bf16_units(lines: list[str]) -> list[str]:
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return [name for flag, name in BF16_UNITS.items() if flag in flags]


def _processor() -> str:
    lines = _cpu_info()
    model = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )
    cores = sum(line.startswith("processor") for line in lines)
    found = _bf16_units(lines)
    bf16 = f"with {' and '.join(found)}" if found else "without units for bfloat16"
    return f"{model or 'an unnamed processor'}, {cores} cores, {bf16}"
