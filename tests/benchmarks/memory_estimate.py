"""Peak memory as estimated before a run, against what a process of the real step takes; one line per preset and rule.

    PYTHONPATH=. python tests/benchmarks/memory_estimate.py [PRESET…]

The data is random, the training three steps long and the sampling two calls long: neither changes what is held at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from workflow_scripts.steps.check_machine import ESTIMATES, base_bytes
from workflow_scripts.study.config import load_study

ROOT = Path(__file__).parents[2]
REAL = """
import json, sys
import numpy as np
from pathlib import Path
from workflow_scripts.steps import probe_checkpoint, sample_images, train_model
from workflow_scripts.core.files import write_npz
from workflow_scripts.core.freed_memory import keep_freed_memory
from workflow_scripts.core.resident_memory import peak_resident_bytes
from workflow_scripts.core.step import Step
from workflow_scripts.training.device import require_determinism
import torch
rule, settings, folder = json.loads(sys.argv[1])
folder, data = Path(folder), settings["data"]
torch.set_num_threads(1)
keep_freed_memory()
settings = {**settings, "arm": "A", "seed": 0, "study": "S", "preset": "P", "step": 3, "nfe": 2,
            "sampler": {"name": "ddpm", "eta": None}}
settings["training"] = {**settings["training"], "num_steps": 3, "checkpoint_steps": [3]}
train, checkpoint = folder / "train.npz", folder / "step.pt"
outputs = {"checkpoints": [checkpoint], "log": [folder / "log.csv"], "timing": [folder / "timing.json"],
           "samples": [folder / "samples.npz"], "probe": [folder / "probe.json"]}
step = Step(rule, settings, {"train": [train], "checkpoint": [checkpoint]}, outputs, None, 1, {"save_every_s": "0"})
{"train_model": train_model, "sample_images": sample_images, "probe_checkpoint": probe_checkpoint}[rule].main(step)
print(peak_resident_bytes())
"""


def measured(rule: str, settings: dict, folder: Path) -> int:
    """Peak resident bytes of a process that does the real step."""
    script = [sys.executable, "-c", REAL, json.dumps([rule, settings, str(folder)])]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return int(done.stdout)


def make_dataset(settings: dict, folder: Path, count: int) -> None:
    """Random images in the form of train.npz."""
    import numpy as np

    from workflow_scripts.core.files import write_npz

    side, channels = settings["data"]["image_size"], settings["data"]["channels"]
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, channels), dtype=np.uint8)
    write_npz(folder / "train.npz", images=images, labels=np.zeros(count, np.int64))


def main() -> None:
    base = base_bytes()
    for preset in sys.argv[1:] or ("smoke", "digits", "cifar10"):
        settings = {**load_study(ROOT, "MS1_min_snr", preset).arms[0].settings}
        # fewer images and iterations than the preset, so that it takes minutes and not hours; both are in the estimate
        settings["data"] = {**settings["data"], "num_train": 1500}
        settings["sampling"] = {**settings["sampling"], "num_samples": settings["sampling"]["batch_size"]}
        settings["curvature"] = {
            **settings["curvature"],
            "top_eigenvalue_iterations": 1,
            "timestep_mse_points": 2,
        }
        with tempfile.TemporaryDirectory() as folder:
            make_dataset(settings, Path(folder), 1500)
            for rule, estimate in ESTIMATES.items():
                expected, real = base + estimate(settings, True), measured(rule, settings, Path(folder))
                print(
                    f"{preset:8} {rule:17} estimated {expected / 2**20:5.0f} MiB, measured {real / 2**20:5.0f} MiB, "
                    f"measured/estimated {real / expected:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
