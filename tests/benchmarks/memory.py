"""Peak memory and images per second of preparation and reference statistics on a whole dataset; no test.

    python tests/benchmarks/memory.py --data-root FOLDER [--preset cifar10_jpeg] [--inception IMAGES] [--stand-in]

Runs the steps prepare_data and compute_reference on the preset's dataset, each in a process of its own, with random
weights of the classifier the preset would train: they change neither the work nor its memory. With --inception the
statistics are computed again with random Inception weights, on that many training images and a tenth as many test images;
with --stand-in on all of them, a random matrix and a ReLU giving 2,048 features per image in place of the slow network, so
that everything but the network is as large as in a real run.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
# `tests` may be another package's name where this one is not installed, so its modules are found by their folder.
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from random_inception import write_random_inception  # noqa: E402

from workflow_scripts.core.files import read_npz, sha256_file, write_json, write_npz  # noqa: E402
from workflow_scripts.metrics.classifier import Classifier, save_classifier  # noqa: E402
from workflow_scripts.study.config import load_study  # noqa: E402

# A step, and what it held at its peak; from within, since a process's usage seen from outside begins with its parent's.
MEASURED = """
import runpy, sys
from workflow_scripts.core.memory import peak_resident_bytes
sys.argv = sys.argv[1:]
runpy.run_module(f"workflow_scripts.steps.{sys.argv[0]}", run_name="__main__")
print(peak_resident_bytes())
"""


STAND_IN = """
import functools
import numpy as np
from workflow_scripts.metrics import extractors

@functools.cache
def matrix(values):
    return np.random.default_rng(0).standard_normal((values, 2048), dtype=np.float32) / np.float32(255 * values**0.5)

def stand_in(path, choose_device):
    def extract(images):
        rows = images.reshape(len(images), -1)
        return np.maximum(rows.astype(np.float32) @ matrix(rows.shape[1]), 0), None
    return extractors.Extractor(2048, extract)

extractors.LOADERS["inception"] = stand_in
"""


def measure(
    entry: str,
    settings: dict,
    inputs: dict[str, Path],
    outputs: dict[str, Path],
    images: int | None = None,
    before: str = "",
) -> None:
    """Run one step and print its peak memory, duration and rate; `before` is run in its process first."""
    command = [sys.executable, "-c", before + MEASURED, entry, "--settings", json.dumps(settings)]
    for flag, paths in (("--input", inputs), ("--output", outputs)):
        command += [word for name, path in paths.items() for word in (flag, name, str(path))]
    started = time.monotonic()
    usage_before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    took, usage = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{entry} failed; run it by hand to see why: {command}")
    cpu = usage.ru_utime + usage.ru_stime - usage_before.ru_utime - usage_before.ru_stime
    rate = f", {images / took:.0f} images/s" if images else ""
    print(
        f"{entry}: peak {int(done.stdout.splitlines()[-1]) / 2**20:.0f} MiB, {took:.1f} s ({cpu:.1f} s of CPU){rate}",
        flush=True,
    )


def reference(
    folder: Path, extractor: dict, weights: Path, train: Path, test: Path, before: str = ""
) -> None:
    """Run compute_reference with these weights on these images."""
    info = {
        "name": extractor["name"],
        "feature_dim": extractor["feature_dim"],
        "extractor_sha256": sha256_file(weights),
    }
    write_json(folder / "extractor.json", info)
    names = {
        "reference": "reference.npz",
        "features": "features.npz",
        "info": "reference.json",
        "scale_marks": "marks.json",
    }
    count, held_out = (len(read_npz(path, "labels")[0]) for path in (train, test))
    print(
        f"{extractor['name']}: {count} training and {held_out} test images, {count + 3 * held_out} through the extractor"
    )
    inputs = {
        "train": train,
        "test": test,
        "manifest": folder / "manifest.json",
        "weights": weights,
        "info": folder / "extractor.json",
    }
    measure(
        "compute_reference",
        {"extractor": extractor},
        inputs,
        {name: folder / file for name, file in names.items()},
        count + 3 * held_out,
        before,
    )


def main() -> None:
    """Prepare, then compute the statistics, in a temporary folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--preset", default="cifar10_jpeg")
    parser.add_argument("--inception", type=int, default=0, metavar="IMAGES")
    parser.add_argument("--stand-in", action="store_true")
    arguments = parser.parse_args()
    study = load_study(ROOT, "MS1_min_snr", arguments.preset)
    data, extractor = study.shared("data"), study.shared("extractor")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, test = folder / "train.npz", folder / "test.npz"
        outputs = {"train": train, "test": test, "manifest": folder / "manifest.json"}
        measure("prepare_data", {"data": data}, {"root": arguments.data_root.resolve()}, outputs)
        print(
            json.dumps(
                {part: json.loads((folder / "manifest.json").read_text())[part] for part in ("train", "test")}
            )
        )
        network = Classifier(
            data["image_size"], data["channels"], data["num_classes"], extractor["feature_dim"]
        )
        save_classifier(folder / "classifier.pt", network)
        reference(folder, extractor, folder / "classifier.pt", train, test)
        inception = {"name": "fid", "kind": "inception", "feature_dim": 2048}
        if arguments.stand_in:
            print("2,048 features by a stand-in for Inception")
            reference(folder, inception, folder / "classifier.pt", train, test, STAND_IN)
        if arguments.inception:
            few = {"train": arguments.inception, "test": arguments.inception // 10}
            for part, count in few.items():
                images, labels = read_npz(folder / f"{part}.npz", "images", "labels")
                write_npz(folder / f"few_{part}.npz", images=images[:count], labels=labels[:count])
            weights = write_random_inception(folder / "inception.pth")
            reference(folder, inception, weights, folder / "few_train.npz", folder / "few_test.npz")


if __name__ == "__main__":
    main()
