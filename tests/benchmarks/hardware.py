"""What the benchmarks run on, and in which precisions it is worth measuring."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torch", "diffusers", "torch-fidelity", "pytorch-fid", "PyHessian", "numpy", "scipy", "snakemake")
CPU_INFO = Path("/proc/cpuinfo")
# Units for bfloat16, by the flag that Linux shows: vectors, or the far faster matrix tiles.
BF16_UNITS = {"avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX BF16"}


def describe_hardware(device: str, threads: int) -> str:
    """Processor or GPU and threads, as a sentence, then Python and the packages compared."""
    what = f"{_processor()}, {threads} threads on each side"
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        what = f"{properties.name} ({memory}), CUDA {torch.version.cuda}, beside {_processor()}"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{what}. Python {platform.python_version()}, {packages}."


def precisions(device: str) -> tuple[str, ...]:
    """Precisions worth measuring: bf16 only where the device has units for it."""
    return ("fp32", "bf16") if device != "cpu" or _bf16_units(_cpu_info()) else ("fp32",)


def _cpu_info() -> list[str]:
    return CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []


def _bf16_units(lines: list[str]) -> list[str]:
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return [name for flag, name in BF16_UNITS.items() if flag in flags]


def _processor() -> str:
    lines = _cpu_info()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cores = sum(line.startswith("processor") for line in lines)
    bf16 = " and ".join(_bf16_units(lines))
    units = f"with {bf16}" if bf16 else "without units for bfloat16"
    return f"{(models or [platform.processor()])[0] or 'unnamed processor'}, {cores} cores, {units}"
