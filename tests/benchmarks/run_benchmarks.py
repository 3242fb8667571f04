"""Measure this pipeline against the alternatives: python tests/benchmarks/run_benchmarks.py [NAME…]

Runs every comparison, or those named (files of this folder), each in a process of its own, prints their
ratios and, when all were run, replaces the table of this hardware in docs/benchmarks.md. `make bench`
installs the peers first.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# `tests` may be another package's name where this one is not installed, so modules are found by their folder.
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import torch  # noqa: E402
from benchmark_page import renew_page, table  # noqa: E402
from hardware import describe_hardware  # noqa: E402
from side_by_side import Row, measure  # noqa: E402

from workflow_scripts.training.device import require_float32  # noqa: E402

ON_CUDA = ("training_step", "sampling", "inception_features")
ON_CPU = (*ON_CUDA, "frechet_distance", "hutchinson_trace", "planning_time")


def main() -> None:
    arguments = parse()
    if arguments.into is not None:
        measure_here(arguments)
        return
    every = ON_CPU if arguments.device == "cpu" else ON_CUDA
    hardware = describe_hardware(arguments.device, arguments.threads)
    rows: list[Row] = []
    for name in arguments.names or every:
        print(f"{name} …", file=sys.stderr, flush=True)
        measured = [Row(**row) for row in in_a_process(name, arguments)]
        print(table(measured), flush=True)
        rows += measured
    print(f"\n{hardware}")
    if not arguments.names:
        renew_page(ROOT / "docs/benchmarks.md", hardware, rows)
        print("written to docs/benchmarks.md")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*ON_CPU, []])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="of both sides, on a CPU")
    parser.add_argument("--device", choices=("cpu", "cuda"), default=default)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def in_a_process(name: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one file, measured where nothing else is in memory."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "rows.json"
        options = {**vars(arguments), "into": into}
        del options["names"]
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        done = subprocess.run([sys.executable, "-W", "ignore", __file__, name, *words], cwd=ROOT)
        if done.returncode:
            sys.exit(f"error: the benchmark {name} failed (exit code {done.returncode})")
        return json.loads(into.read_text())


def measure_here(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # our side needs it before anything uses cuBLAS
    require_float32()  # of both sides: otherwise a GPU's fp32 rows would compare TF32
    module = importlib.import_module(arguments.names[0])
    if hasattr(module, "rows"):  # whole programs, which time themselves
        rows = module.rows(arguments.pairs)
    else:
        rows = [measure(each, arguments.pairs) for each in module.comparisons(torch.device(arguments.device))]
    arguments.into.write_text(json.dumps([vars(row) for row in rows]))


if __name__ == "__main__":
    main()
