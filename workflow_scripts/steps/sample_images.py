"""Draw images from a checkpoint's EMA weights at one point.

Settings: method; model; data {image_size, channels}, of classes also num_classes; diffusion; sampling
{batch_size, clip_x_start, precision}; point {sampler, eta, nfe, guidance_scale}; num_samples; seed. Input:
checkpoint. Output: samples (npz, `images` u8 [N, H, W, C] in sample order, of classes also `labels` i64 [N]).
"""

from __future__ import annotations

import numpy as np

from workflow_scripts.core.chunks import ChunkedWork
from workflow_scripts.core.errors import NotFiniteError
from workflow_scripts.core.files import sha256_file, write_npz
from workflow_scripts.core.step import Step, run
from workflow_scripts.nets.precision import Network, frozen
from workflow_scripts.sampling.generator import Generator, compiles
from workflow_scripts.training.checkpoints import load_ema_model
from workflow_scripts.training.device import device_of, kind_of, require_determinism

# These settings and the checkpoint's content decide every pixel. `num_samples` decides how many there are
# and, through that, whether the network is compiled, which changes the last bits.
DECIDES = ("seed", "method", "model", "data", "diffusion", "point")


def main(step: Step) -> None:
    """Draw `num_samples` images batch by batch and write them as uint8; none of a run that is not finite."""
    device = device_of(step)
    compiled = compiles(step.settings, device)
    if device.type == "cuda":
        # Only there: a CPU's forward pass is always deterministic, and the check costs 0.7 s of start-up.
        require_determinism(device)
        # For the manifest: images with and without agree to rounding only.
        step.machine["compiled"] = "yes" if compiled else "no"
    key = {
        **{name: step.setting(name) for name in DECIDES},
        **{name: step.setting(f"sampling.{name}") for name in ("clip_x_start", "precision")},
        "checkpoint": sha256_file(step.input("checkpoint")),
        "code": step.code_sha256,
        "device": kind_of(device),
        "compiled": compiled,
    }

    def network() -> Network:
        # A network used with another schedule or prediction type would run without an error and draw wrong
        # images.
        must_agree = ("seed", "method", "model", "diffusion")
        loaded = load_ema_model(step.input("checkpoint"), step.settings, must_agree)
        if compiled:
            step.say("compiling the network for this GPU")
        return frozen(loaded, device, step.setting("sampling.precision"), compiled)

    generator = Generator(step.settings, network, device)
    # One chunk per batch, since a network's convolutions may round differently for another batch size.
    work = ChunkedWork(step, "samples", step.setting("num_samples"), step.setting("sampling.batch_size"), key)
    try:
        batches = work.complete(generator.draw, generator.title)
    except NotFiniteError as error:
        step.say(f"{step.input('checkpoint')}: {error}; the file holds no images, and the report says so")
        work.discard()
        batches = [generator.nothing]
    arrays = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    write_npz(step.output("samples"), **arrays)


if __name__ == "__main__":
    run(main)
