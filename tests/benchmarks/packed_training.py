"""Several trainings on one device: total steps per second one after another against all at once, and whether bytes differ.

    python tests/benchmarks/packed_training.py [--device cuda] [--model smoke|digits|cifar10] [--runs N] …

Each run is a process of train_model with a seed of its own, on random images. On a GPU the packed ones share it through MPS
(`share_gpu`), on a CPU they are plain processes of one thread. Both ways take turns, the first way alternating. Steps per
second are said for the training alone (`timing.json`; capture included) and for whole processes, in which loading torch
counts. Every checkpoint of a seed must have the same bytes, packed or not: each process sees the same device, libraries are
told to choose kernels by nothing that another process changes, and no kernel adds in an order of its own (docs/gpu.md).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

from side_by_side import Row  # noqa: E402

from workflow_scripts.common.files import sha256_file, write_npz  # noqa: E402
from workflow_scripts.share_gpu import multi_process_service  # noqa: E402
from workflow_scripts.study.config import load_study  # noqa: E402


@dataclass(frozen=True)
class Measured:
    """Steps per second of all runs together, and the sha256 of each seed's checkpoint."""

    training: float
    processes: float
    checkpoints: dict[int, str]


def training_settings(arguments: argparse.Namespace, seed: int) -> dict:
    """The first arm of the preset, shortened."""
    arm = load_study(ROOT, "MS1_min_snr", arguments.model).arms[0]
    settings = {name: arm.settings[name] for name in ("model", "diffusion", "loss", "training")}
    shape = {key: arm.settings["data"][key] for key in ("image_size", "channels")}
    training = {**settings["training"], "num_steps": arguments.steps, "checkpoint_steps": [arguments.steps]}
    for key in ("batch_size", "precision", "memory_format"):
        if getattr(arguments, key) is not None:
            training[key] = getattr(arguments, key)
    return {**settings, "training": training, "data": shape, "arm": arm.name, "seed": seed}


def write_dataset(path: Path, shape: Mapping[str, int], count: int = 2000) -> None:
    side = shape["image_size"]
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, shape["channels"]), dtype=np.uint8)
    write_npz(path, images=images, labels=np.zeros(count, np.int64))


def start(folder: Path, train: Path, settings: dict, device: str, environment: Mapping[str, str]) -> subprocess.Popen:
    command = [sys.executable, "-m", "workflow_scripts.train_model", "--settings", json.dumps(settings),
               "--input", "train", str(train), "--output", "log", str(folder / "log.csv"),
               "--output", "checkpoints", str(folder / "step.pt"), "--output", "timing", str(folder / "timing.json"),
               "--machine", "device", device, "--threads", "1", "--log", str(folder / "step.log")]  # fmt: skip
    folder.mkdir(parents=True)
    return subprocess.Popen(command, cwd=ROOT, env={**environment, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)


def end(process: subprocess.Popen, folder: Path) -> None:
    if process.wait():
        raise SystemExit(f"a training failed:\n{(folder / 'step.log').read_text()[-2000:]}")


def measure(arguments: argparse.Namespace, train: Path, packed: bool) -> Measured:
    """Train every seed, one after another or all at once."""
    seeds = range(arguments.runs)
    shared = multi_process_service() if packed and arguments.device == "cuda" else contextlib.nullcontext(dict(os.environ))
    with tempfile.TemporaryDirectory() as scratch, shared as environment:
        folders = {seed: Path(scratch) / f"seed{seed}" for seed in seeds}
        began, running = time.monotonic(), []
        for seed, folder in folders.items():
            running.append(start(folder, train, training_settings(arguments, seed), arguments.device, environment))
            if not packed:
                end(running[-1], folder)
        for process, folder in zip(running, folders.values()):
            end(process, folder)
        wall_s = time.monotonic() - began
        seconds = [json.loads((folder / "timing.json").read_text())["wall_s"] for folder in folders.values()]
        total = arguments.runs * arguments.steps
        checkpoints = {seed: sha256_file(folder / "step.pt") for seed, folder in folders.items()}
        return Measured(total / (max(seconds) if packed else sum(seconds)), total / wall_s, checkpoints)


def rows(pairs: int, device: str = "cuda") -> list[Row]:
    """For `make bench`: eight runs of the preregistered network on a GPU, seconds of the training alone."""
    arguments = parse(["--device", device, "--model", "cifar10", "--runs", "8", "--steps", "2000", "--pairs", str(pairs)])
    measured = measure_pairs(arguments)
    total = arguments.runs * arguments.steps
    return [
        Row(
            what=f"{arguments.runs} trainings at once on one device, {arguments.model}",
            peer="the same ones one after another",
            work=total,
            unit="steps",
            ours_s=[total / pair[True].training for pair in measured],
            theirs_s=[total / pair[False].training for pair in measured],
            distance=0.0,
            tolerance=0.0,
            equality="the checkpoints of every seed are equal byte for byte, packed and unpacked",
            bar=3.0,
        )
    ]


def measure_pairs(arguments: argparse.Namespace) -> list[dict[bool, Measured]]:
    """Both ways in turn; SystemExit when a checkpoint differs between any two trainings of a seed."""
    pairs: list[dict[bool, Measured]] = []
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(train := Path(folder) / "train.npz", training_settings(arguments, 0)["data"])
        for number in range(arguments.pairs):
            ways = (False, True) if number % 2 == 0 else (True, False)
            pairs.append({packed: measure(arguments, train, packed) for packed in ways})
            first = pairs[0][False].checkpoints
            for way in pairs[-1].values():
                if differing := [seed for seed, digest in way.checkpoints.items() if digest != first[seed]]:
                    raise SystemExit(f"pair {number + 1}: the checkpoints of seeds {differing} differ; nothing is compared")
    return pairs


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--model", default="smoke", metavar="PRESET", help="whose network, batch and loss are trained")
    parser.add_argument("--runs", type=int, default=2, help="how many trainings, and how many at once when packed")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--precision", choices=("fp32", "bf16"))
    parser.add_argument("--memory-format", choices=("contiguous", "channels_last"))
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse(argv)
    settings = training_settings(arguments, 0)
    print(f"{arguments.model} on {arguments.device}: {arguments.runs} runs of {arguments.steps} steps, batch "
          f"{settings['training']['batch_size']}, {settings['training']['precision']}, "
          f"{settings['training']['memory_format']}; {arguments.pairs} pairs", flush=True)  # fmt: skip
    pairs = measure_pairs(arguments)
    print(f"checkpoints of all {arguments.runs} seeds are equal byte for byte in {2 * arguments.pairs} trainings each")
    for name in ("training", "processes"):
        alone, packed = ([getattr(pair[way], name) for pair in pairs] for way in (False, True))
        ratios = [together / one for one, together in zip(alone, packed)]
        print(f"{name:9}  one after another {statistics.median(alone):8.1f} steps/s, packed {statistics.median(packed):8.1f}, "
              f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
