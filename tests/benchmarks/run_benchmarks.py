"""Measure this pipeline side by side with what else would be used: python tests/benchmarks/run_benchmarks.py [NAME…]

Runs every comparison, or those named (files of this folder), each in a process of its own, prints their ratios and renews
their rows in docs/benchmarks.md, in the table of this hardware. The rows of the other files stay if they were measured with
the same packages; where they were not, the page is left alone until every file has been measured in one call.
`make bench` does it with the peers of envs/bench.lock.
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

# `tests` may be another package's name where this one is not installed, so its modules are found by their folder.
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import torch  # noqa: E402
from benchmark_page import renew_page, table  # noqa: E402
from hardware import describe_hardware  # noqa: E402
from side_by_side import Row, measure  # noqa: E402

from workflow_scripts.training.device import require_float32  # noqa: E402

ON_CPU = (
    "training_step",
    "sampling",
    "inception_features",
    "frechet_distance",
    "fid_end_to_end",
    "hutchinson_trace",
    "whole_study",
    "planning_time",
)
ON_CUDA = ("training_step", "sampling", "inception_features", "packed_training")
PAGE = ROOT / "docs/benchmarks.md"


def main() -> None:
    arguments = parse()
    if arguments.into is not None:
        measure_here(arguments)
        return
    order = ON_CPU if arguments.device == "cpu" else ON_CUDA
    hardware = describe_hardware(arguments.device, arguments.threads)
    rows: list[Row] = []
    names = arguments.names or order
    for number, name in enumerate(names, start=1):
        print(f"{name} …", file=sys.stderr, flush=True)
        measured = [Row(**row) for row in in_a_process(name, arguments)]
        print(table(measured), flush=True)
        rows += measured
        # after each file: what the next one may stop is no reason to lose this one
        written = renew_page(PAGE, arguments.device, hardware, rows, whole=set(names[:number]) >= set(order))
    print(f"\n{hardware}")
    where = PAGE.relative_to(ROOT)
    left = f"{where} is left as it is: its other rows of this hardware were measured with other packages"
    print(f"written to {where}" if written else left)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*ON_CPU, *ON_CUDA[-1:], []])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="of both sides, on a CPU")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def in_a_process(name: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one file, measured where nothing else is in memory."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "rows.json"
        command = [sys.executable, "-W", "ignore", __file__, name, "--into", str(into)]
        options = [
            "--pairs",
            str(arguments.pairs),
            "--threads",
            str(arguments.threads),
            "--device",
            arguments.device,
        ]
        done = subprocess.run([*command, *options], cwd=ROOT)
        if done.returncode:
            sys.exit(
                f"error: the benchmark {name} ended with exit code {done.returncode}; what the others measured is printed above"
            )
        return json.loads(into.read_text())


def measure_here(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = (
        ":4096:8"  # what our side asks for, set before anything uses cuBLAS
    )
    require_float32()  # of both sides: otherwise a GPU's fp32 rows would compare TF32
    module = importlib.import_module(arguments.names[0])
    if hasattr(module, "rows"):  # whole programs, which time themselves
        rows = module.rows(arguments.pairs)
    else:
        rows = []
        for comparison in module.comparisons(torch.device(arguments.device)):
            print(f"  {comparison.what}, against {comparison.peer} …", file=sys.stderr, flush=True)
            rows.append(measure(comparison, arguments.pairs))
    arguments.into.write_text(json.dumps([row.as_json() for row in rows]))


if __name__ == "__main__":
    main()
