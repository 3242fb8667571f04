from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from workflow_scripts.core.chunks import chunk_folder
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json
from workflow_scripts.core.step import Step, run
from workflow_scripts.data.images import to_uint8
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.nets import winograd
from workflow_scripts.nets.frozen import frozen
from workflow_scripts.nets.registry import build_model
from workflow_scripts.sampling.noise import SampleNoise
from workflow_scripts.sampling.sample import sample
from workflow_scripts.steps import sample_images
from workflow_scripts.steps.sample_images import main
from workflow_scripts.training.checkpoints import save_checkpoint

ROOT = Path(__file__).parents[3]
MODEL = {
    "name": "unet_digits8",
    "base_channels": 8,
    "channel_mults": [1, 2],
    "num_res_blocks": 1,
    "attention_resolutions": [4],
    "dropout": 0.5,  # would make every run differ if the model were left in training mode
    "norm_groups": 4,
}
DIFFUSION = {
    "schedule": "linear",
    "num_timesteps": 50,
    "beta_start": 1e-4,
    "beta_end": 0.2,
    "prediction_type": "eps",
}
SAMPLING = {
    "num_samples": 7,
    "batch_size": 3,
    "clip_x_start": True,
    "precision": "fp32",
    "memory_format": "contiguous",
}


def settings(**changes: object) -> dict[str, object]:
    return {
        "model": MODEL,
        "data": {"image_size": 8, "channels": 1},
        "diffusion": DIFFUSION,
        "sampling": SAMPLING,
        "sampler": {"name": "ddpm"},
        "nfe": 4,
        "seed": 1077,
    } | changes


def random_weights(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    state = build_model(MODEL, 1, 8).state_dict()
    # U-Nets start with an output of zero; noise on every weight makes the two sets draw different images.
    return {name: value + 0.05 * torch.randn(value.shape) for name, value in state.items()}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "step0000010.pt"
    trained = {"model": MODEL, "diffusion": DIFFUSION}
    save_checkpoint(
        path, model=random_weights(0), ema=random_weights(1), step=10, seed=1077, settings=trained
    )
    return path


def draw(checkpoint: Path, **changes: object) -> np.ndarray:
    output = checkpoint.parent / "samples.npz"
    step = Step("sample_images", settings(**changes), {"checkpoint": [checkpoint]}, {"samples": [output]})
    main(step)
    for tidy_up in step.afterwards:
        tidy_up()
    with np.load(output) as archive:
        assert archive.files == ["images"]
        return archive["images"]


def test_images_are_those_of_the_ema_weights(checkpoint: Path) -> None:
    images = draw(checkpoint)
    model = build_model(MODEL, 1, 8)
    model.load_state_dict(random_weights(1))
    noise = SampleNoise(1077, range(7), (1, 8, 8))
    with torch.inference_mode():
        diffusion = GaussianDiffusion.from_settings(DIFFUSION)
        expected = to_uint8(sample(model.eval(), diffusion, {"name": "ddpm"}, 4, noise.x_T, noise.step, True))
    assert images.dtype == np.uint8 and images.shape == (7, 8, 8, 1)
    # Convolutions may round differently for another batch size, which can move a grey level by one.
    assert np.abs(images.astype(int) - expected).max() <= 1
    assert images.std() > 10


def test_the_same_step_twice_gives_the_same_bytes(checkpoint: Path) -> None:
    draw(checkpoint)
    first = (checkpoint.parent / "samples.npz").read_bytes()
    draw(checkpoint)
    assert (checkpoint.parent / "samples.npz").read_bytes() == first


@pytest.mark.parametrize("changed", ["nothing", "checkpoint", "seed", "sampler", "clip"])
def test_a_job_that_stopped_goes_on_unless_something_changed(checkpoint: Path, changed: str) -> None:
    output = checkpoint.parent / "samples.npz"
    main(
        Step("sample_images", settings(), {"checkpoint": [checkpoint]}, {"samples": [output]})
    )  # keeps its chunks
    chunk = min(chunk_folder(output).rglob("*.npz"))
    np.savez(chunk, images=np.full((3, 8, 8, 1), 99, dtype=np.uint8))  # so that one sees whether it was taken
    changes: dict[str, object] = {}
    if changed == "checkpoint":
        trained = {"model": MODEL, "diffusion": DIFFUSION}
        save_checkpoint(
            checkpoint, model=random_weights(0), ema=random_weights(2), step=10, seed=1077, settings=trained
        )
    elif changed == "seed":
        trained = {"model": MODEL, "diffusion": DIFFUSION}
        save_checkpoint(
            checkpoint, model=random_weights(0), ema=random_weights(1), step=10, seed=1, settings=trained
        )
        changes = {"seed": 1}
    elif changed == "sampler":
        changes = {"sampler": {"name": "ddim", "eta": 0.0}}
    elif changed == "clip":
        changes = {"sampling": SAMPLING | {"clip_x_start": False}}
    assert (draw(checkpoint, **changes)[:3] == 99).all() == (changed == "nothing")


def test_killed_at_random_moments_it_ends_with_the_same_bytes(checkpoint: Path) -> None:
    output = checkpoint.parent / "samples.npz"
    many = settings(sampling=SAMPLING | {"num_samples": 160, "batch_size": 4}, nfe=50)
    command = [
        sys.executable,
        "-m",
        "workflow_scripts.steps.sample_images",
        "--settings",
        canonical_json(many),
    ]
    command += ["--input", "checkpoint", str(checkpoint), "--output", "samples", str(output)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    whole = output.read_bytes()
    output.unlink()
    moments = random.Random(0)
    kept = 0
    for _ in range(3):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(chunk_folder(output).glob("*/0*.npz"))) <= kept:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it ended before it could be killed; give it more to do"
        assert not output.exists()
        kept = len(list(chunk_folder(output).glob("*/0*.npz")))
    ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert f"going on after {4 * kept} images" in ended.stderr and kept >= 3
    assert output.read_bytes() == whole and not chunk_folder(output).exists()


def test_command_line_reports_images_per_second(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, log = checkpoint.parent / "out" / "samples.npz", checkpoint.parent / "log.txt"
    arguments = ["--settings", canonical_json(settings(sampler={"name": "ddim", "eta": 0.5}))]
    arguments += [
        "--input",
        "checkpoint",
        str(checkpoint),
        "--output",
        "samples",
        str(output),
        "--log",
        str(log),
    ]
    run(main, arguments)
    assert output.exists()
    assert "ddim eta 0.5, NFE 4: 7/7 images" in log.read_text() and "images/s" in capsys.readouterr().err


def test_a_checkpoint_of_another_diffusion_is_refused(checkpoint: Path) -> None:
    with pytest.raises(PipelineError, match="another diffusion than is asked for"):
        draw(checkpoint, diffusion=DIFFUSION | {"prediction_type": "v"})


def test_weights_that_do_not_fit_are_refused_in_one_line(checkpoint: Path) -> None:
    trained = {"model": MODEL, "diffusion": DIFFUSION}
    ema = random_weights(1)
    ema.pop(next(iter(ema)))
    save_checkpoint(checkpoint, model=ema, ema=ema, step=10, seed=1077, settings=trained)
    with pytest.raises(PipelineError, match="do not fit the model") as caught:
        draw(checkpoint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["missing", "truncated", "diverged"])
def test_a_bad_checkpoint_is_one_line_and_leaves_no_output(
    checkpoint: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if damage == "missing":
        checkpoint.unlink()
    elif damage == "truncated":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    else:
        ema = {name: torch.full_like(value, torch.nan) for name, value in random_weights(1).items()}
        trained = {"model": MODEL, "diffusion": DIFFUSION}
        save_checkpoint(checkpoint, model=ema, ema=ema, step=10, seed=1077, settings=trained)
    output = checkpoint.parent / "samples.npz"
    arguments = ["--settings", canonical_json(settings())]
    with pytest.raises(SystemExit) as caught:
        run(main, [*arguments, "--input", "checkpoint", str(checkpoint), "--output", "samples", str(output)])
    assert caught.value.code == 1 and not output.exists()
    message = capsys.readouterr().err
    assert message.startswith("error: sample_images: ") and message.count("\n") == 1
    assert checkpoint.name in message and (damage != "diverged" or "not finite at step 1 of 4" in message)


@pytest.mark.parametrize("num_samples, compiles", [(6, False), (7, True)])
def test_a_network_is_compiled_where_the_whole_set_is_worth_it(
    checkpoint, monkeypatch, num_samples, compiles
):
    asked = []

    def frozen_as_it_is(network, device, precision, memory_format, fuse, winograd):
        asked.append(fuse)
        return frozen(network, device, precision, memory_format)

    monkeypatch.setattr(sample_images, "COMPILED_FROM", 7 * 4)  # images times calls
    monkeypatch.setattr(sample_images, "can_compile", lambda device: True)
    monkeypatch.setattr(sample_images, "frozen", frozen_as_it_is)
    draw(checkpoint, sampling={**SAMPLING, "num_samples": num_samples})
    assert asked == [compiles]


@pytest.mark.parametrize(
    "memory_format, worth_it, transforms",
    [("channels_last", 7 * 4 * 64, True), ("channels_last", 7 * 4 * 64 + 1, False), ("contiguous", 1, False)],
)
def test_convolutions_are_winograds_where_the_whole_set_is_worth_it(
    checkpoint, monkeypatch, memory_format, worth_it, transforms
):
    sampling = {**SAMPLING, "memory_format": memory_format}
    as_before = draw(checkpoint, sampling=sampling)
    made = []

    class Noted(winograd.WinogradConv):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(winograd, "WinogradConv", Noted)
    monkeypatch.setattr(winograd, "MIN_CHANNELS", 8)
    monkeypatch.setattr(sample_images, "WINOGRAD_FROM", worth_it)
    output = checkpoint.parent / "samples.npz"
    step = Step(
        "sample_images", settings(sampling=sampling), {"checkpoint": [checkpoint]}, {"samples": [output]}
    )
    main(step)
    with np.load(output) as archive:
        images = archive["images"]
    assert bool(made) == (step.machine.get("winograd") == "yes") == transforms
    # rounding may move a grey level by one
    assert np.abs(images.astype(int) - as_before).max() <= 1 and images.std() > 10
