"""The sampling step as a whole: whose images, the same bytes after any interruption, and its messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.sampled import sample
from tests.tiny_run import tiny_settings
from workflow_scripts.core.chunks import chunk_folder
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json
from workflow_scripts.core.step import Step, run
from workflow_scripts.data.images import to_uint8
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.nets.build import build_model
from workflow_scripts.nets.precision import frozen
from workflow_scripts.sampling import generator
from workflow_scripts.sampling.noise import SampleNoise
from workflow_scripts.sampling.sample import SamplingLoop
from workflow_scripts.steps import sample_images
from workflow_scripts.steps.sample_images import main
from workflow_scripts.training.checkpoints import save_checkpoint

# Dropout would make every run differ if the model were left in training mode.
TRAINED = tiny_settings(model={"dropout": 0.5})
MODEL, DIFFUSION = TRAINED["model"], TRAINED["diffusion"]
SAMPLING = {"batch_size": 3, "clip_x_start": True, "precision": "fp32"}
POINT = {"sampler": "ddpm", "eta": None, "nfe": 4}


def settings(**changes: object) -> dict[str, object]:
    sections = {name: TRAINED[name] for name in ("method", "model", "data", "diffusion")}
    return sections | {"sampling": SAMPLING, "point": POINT, "num_samples": 7, "seed": 1077} | changes


def random_weights(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    state = build_model(MODEL, 1, 8).state_dict()
    # Untrained U-Nets put out zero; noise on every weight makes the two sets draw different images.
    return {name: value + 0.05 * torch.randn(value.shape) for name, value in state.items()}


def save(path: Path, ema: dict[str, torch.Tensor], seed: int = 1077) -> None:
    trained = {"method": TRAINED["method"], "model": MODEL, "diffusion": DIFFUSION}
    save_checkpoint(path, model=random_weights(0), ema=ema, step=10, seed=seed, settings=trained)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save(tmp_path / "step0000010.pt", random_weights(1))
    return tmp_path / "step0000010.pt"


def draw(checkpoint: Path, **changes: object) -> np.ndarray:
    output = checkpoint.parent / "samples.npz"
    step = Step("sample_images", settings(**changes), {"checkpoint": [checkpoint]}, {"samples": [output]})
    main(step)
    for tidy_up in step.afterwards:
        tidy_up()
    with np.load(output) as archive:
        assert archive.files == ["images"]
        return archive["images"]


def arguments(checkpoint: Path, output: Path, **changes: object) -> list[str]:
    step = ["--settings", canonical_json(settings(**changes)), "--input", "checkpoint", str(checkpoint)]
    return [*step, "--output", "samples", str(output)]


def kill_at_batch(monkeypatch: pytest.MonkeyPatch, number: int, at_call: int) -> None:
    """Raise in the middle of drawing batch `number`, at a call of the network."""
    draw_batch, drawn = SamplingLoop.draw, []

    def killed(loop, x_T, noise_fn, on_step):
        def on_call(calls: int) -> None:
            on_step(calls)
            if len(drawn) == number and calls == at_call:
                raise SystemError("killed")

        images = draw_batch(loop, x_T, noise_fn, on_call)
        drawn.append(images)
        return images

    monkeypatch.setattr(SamplingLoop, "draw", killed)


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


@pytest.mark.parametrize("at_call", [1, 3])
def test_killed_in_any_batch_it_ends_with_the_same_bytes(checkpoint: Path, capsys, at_call: int) -> None:
    output = checkpoint.parent / "samples.npz"
    draw(checkpoint)
    whole = output.read_bytes()
    output.unlink()
    for batch in range(3):
        with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemError):
            kill_at_batch(patched, 0 if batch == 0 else 1, at_call)
            draw(checkpoint)
        assert not output.exists() and len(list(chunk_folder(output).rglob("*.npz"))) == batch
    draw(checkpoint)
    assert "going on after 6 images" in capsys.readouterr().err
    assert output.read_bytes() == whole and not chunk_folder(output).exists()


@pytest.mark.parametrize(
    ("weights", "changes"),
    [
        (1, {}),
        (2, {}),
        (1, {"seed": 1}),
        (1, {"point": {"sampler": "ddim", "eta": 0.0, "nfe": 4}}),
        (1, {"sampling": SAMPLING | {"clip_x_start": False}}),
    ],
)
def test_a_job_that_stopped_goes_on_unless_something_changed(
    checkpoint: Path, weights: int, changes: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(SystemError):
        kill_at_batch(patched, 1, 1)
        draw(checkpoint)
    (chunk,) = chunk_folder(checkpoint.parent / "samples.npz").rglob("*.npz")
    np.savez(chunk, images=np.full((3, 8, 8, 1), 99, dtype=np.uint8))  # shows whether it is used
    save(checkpoint, random_weights(weights), changes.get("seed", 1077))
    assert (draw(checkpoint, **changes)[:3] == 99).all() == (weights == 1 and not changes)


def test_the_command_line_reports_images_per_second(checkpoint: Path, capsys) -> None:
    output, log = checkpoint.parent / "out" / "samples.npz", checkpoint.parent / "log.txt"
    run(
        main,
        [*arguments(checkpoint, output, point={"sampler": "ddim", "eta": 0.5, "nfe": 4}), "--log", str(log)],
    )
    assert output.exists()
    assert "ddim eta 0.5, NFE 4: 7/7 images" in log.read_text() and "images/s" in capsys.readouterr().err


def test_a_checkpoint_of_another_diffusion_is_refused(checkpoint: Path) -> None:
    with pytest.raises(PipelineError, match="another diffusion than this step asks for"):
        draw(checkpoint, diffusion=DIFFUSION | {"prediction_type": "v"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "cannot read"),
        ("truncated", "is damaged"),
        ("other names", "do not fit the model"),
    ],
)
def test_a_bad_checkpoint_is_one_line_and_leaves_no_output(
    checkpoint: Path, damage: str, message: str, capsys
) -> None:
    ema = random_weights(1)
    if damage == "missing":
        checkpoint.unlink()
    elif damage == "truncated":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    else:
        ema.pop(next(iter(ema)))
        save(checkpoint, ema)
    output = checkpoint.parent / "samples.npz"
    with pytest.raises(SystemExit) as caught:
        run(main, arguments(checkpoint, output))
    assert caught.value.code == 1 and not output.exists()
    said = capsys.readouterr().err
    assert said.startswith("error: sample_images: ") and said.count("\n") == 1
    assert checkpoint.name in said and message in said


@pytest.mark.parametrize("num_samples, compiles", [(6, False), (7, True)])
def test_a_network_is_compiled_where_the_whole_set_is_worth_it(
    checkpoint, monkeypatch, num_samples, compiles
):
    asked = []

    def frozen_as_it_is(network, device, precision, fuse):
        asked.append(fuse)
        return frozen(network, device, precision)

    monkeypatch.setattr(generator, "COMPILED_FROM", 7 * 4)  # images times calls
    monkeypatch.setattr(generator, "can_compile", lambda device: True)
    monkeypatch.setattr(sample_images, "frozen", frozen_as_it_is)
    draw(checkpoint, num_samples=num_samples)
    assert asked == [compiles]


def test_of_a_diverged_run_there_are_no_images_and_the_log_says_why(checkpoint: Path, capsys) -> None:
    output = checkpoint.parent / "samples.npz"
    save(checkpoint, {name: torch.full_like(value, torch.nan) for name, value in random_weights(1).items()})
    run(main, arguments(checkpoint, output))
    assert np.load(output)["images"].shape == (0, 8, 8, 1)
    assert "not finite at step 1 of 4" in capsys.readouterr().err and not chunk_folder(output).exists()
