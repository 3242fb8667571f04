from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.randomness import stream, torch_seed
from workflow_scripts.nets.registry import build_model
from workflow_scripts.training.checkpoints import save_checkpoint
from workflow_scripts.training.log import TrainingLog
from workflow_scripts.training.loop import train
from workflow_scripts.training.state import TrainingState, initial_state

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)


def _settings(
    dropout: float = 0.0,
    learning_rate: float = 1e-3,
    weighting: str = "uniform",
    gamma: float | None = None,
    precision: str = "fp32",
    layout: str = "contiguous",
) -> dict:
    return {
        "arm": "E1_test",
        "seed": 5,
        "data": {"image_size": 8, "channels": 1},
        "model": {
            "name": "unet_digits8",
            "base_channels": 8,
            "channel_mults": [1, 2],
            "num_res_blocks": 1,
            "attention_resolutions": [4],
            "dropout": dropout,
            "norm_groups": 4,
        },
        "diffusion": {
            "schedule": "linear",
            "num_timesteps": 50,
            "beta_start": 1e-3,
            "beta_end": 0.2,
            "prediction_type": "eps",
        },
        "loss": {"weighting": weighting, "min_snr_gamma": gamma},
        "training": {
            "num_steps": 12,
            "batch_size": 6,
            "learning_rate": learning_rate,
            "grad_clip_norm": 0.5,
            "ema_decay": 0.9,
            "checkpoint_steps": [12],
            "log_every": 4,
            "precision": precision,
            "memory_format": layout,
        },
    }


def _bytes(state: TrainingState, settings: dict, folder) -> bytes:
    save_checkpoint(
        folder / "c.pt",
        model=state.model.state_dict(),
        ema=state.ema.model.state_dict(),
        step=state.step,
        seed=5,
        settings=settings,
    )
    return (folder / "c.pt").read_bytes()


@pytest.mark.parametrize(
    ("dropout", "precision", "layout"),
    [
        (0.0, "fp32", "contiguous"),
        (0.3, "fp32", "contiguous"),
        (0.3, "fp32", "channels_last"),
        (0.3, "bf16", "channels_last"),
    ],
)
def test_stopping_saving_and_going_on_changes_no_byte(tmp_path, dropout, precision, layout):
    settings = _settings(dropout, precision=precision, layout=layout)
    straight, straight_log = initial_state(settings, CPU), TrainingLog(4)
    train(straight, IMAGES, settings, straight_log, until=12)

    first, first_log, second_log = initial_state(settings, CPU), TrainingLog(4), TrainingLog(4)
    train(first, IMAGES, settings, first_log, until=4)
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    torch.manual_seed(99)
    second = initial_state({**settings, "seed": 6}, CPU)
    second.load_state_dict(torch.load(buffer, weights_only=True))
    train(second, IMAGES, settings, second_log, until=12)

    assert _bytes(second, settings, tmp_path) == _bytes(straight, settings, tmp_path)
    assert first_log.rows + second_log.rows == straight_log.rows
    assert [row[0] for row in straight_log.rows] == [4, 8, 12]


def test_steps_are_the_algorithm_written_out():
    settings = _settings(weighting="min_snr", gamma=5.0)
    state, log = initial_state(settings, CPU), TrainingLog(1)
    train(state, IMAGES, settings, log, until=3)

    torch.manual_seed(torch_seed(5, "init"))
    model = build_model(settings["model"], 1, 8)
    averages = [parameter.detach().clone() for parameter in model.parameters()]
    first = [torch.zeros_like(parameter) for parameter in averages]
    second = [torch.zeros_like(parameter) for parameter in averages]
    alphas_cumprod = np.cumprod(1 - np.linspace(1e-3, 0.2, 50))
    order = stream(5, "order", 0).permutation(20)
    for step in range(3):
        x_start = torch.tensor(
            IMAGES[order[6 * step : 6 * step + 6]].transpose(0, 3, 1, 2) / 127.5 - 1
        ).float()
        t = stream(5, "timesteps", step).integers(0, 50, size=6)
        noise = torch.tensor(stream(5, "noise", step).standard_normal((6, 1, 8, 8), dtype=np.float32))
        a = torch.tensor(alphas_cumprod[t]).float()[:, None, None, None]
        error = model(a.sqrt() * x_start + (1 - a).sqrt() * noise, torch.tensor(t)) - noise
        snr = alphas_cumprod[t] / (1 - alphas_cumprod[t])
        loss = (torch.tensor(np.minimum(snr, 5) / snr).float() * error.square().mean((1, 2, 3))).mean()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        norm = torch.sqrt(sum(gradient.double().square().sum() for gradient in gradients))
        with torch.no_grad():
            for i, (parameter, gradient) in enumerate(zip(model.parameters(), gradients)):
                gradient = gradient * min(1.0, 0.5 / (float(norm) + 1e-6))
                first[i] = 0.9 * first[i] + 0.1 * gradient
                second[i] = 0.999 * second[i] + 0.001 * gradient**2
                corrected = first[i] / (1 - 0.9 ** (step + 1)), second[i] / (1 - 0.999 ** (step + 1))
                parameter -= 1e-3 * corrected[0] / (corrected[1].sqrt() + 1e-8)
                averages[i] = 0.9 * averages[i] + 0.1 * parameter
        # float32 sums in another order: seven digits, less what three steps of a network amplify
        expected = (float(loss.detach()), float(error.detach().square().mean()), float(norm))
        np.testing.assert_allclose(log.rows[step][1:], expected, rtol=2e-5)
    assert max(row[3] for row in log.rows) > 0.5, "clipping was not exercised"
    for parameter, expected in zip(state.ema.model.parameters(), averages):
        # Adam divides by the gradient's own size, so a parameter whose gradient is rounding noise may move by up to
        # the learning rate of 1e-3 in either direction; a tenth of it tells such noise from a wrong formula
        torch.testing.assert_close(parameter, expected, atol=1e-4, rtol=0)


def test_another_memory_format_trains_the_same_and_bf16_nearly():
    rows = {}
    for precision, layout in (("fp32", "contiguous"), ("fp32", "channels_last"), ("bf16", "channels_last")):
        settings = _settings(precision=precision, layout=layout)
        state, log = initial_state(settings, CPU), TrainingLog(1)
        train(state, IMAGES, settings, log, until=3)
        moments = [moment for values in state.optimizer.state.values() for moment in values.values()]
        weights = [*state.model.parameters(), *state.ema.model.parameters()]
        assert {value.dtype for value in (*weights, *moments)} == {torch.float32}
        if layout == "channels_last":
            wide = [value for value in weights if value.ndim == 4]
            assert wide and all(value.is_contiguous(memory_format=torch.channels_last) for value in wide)
        rows[precision, layout] = np.array(log.rows)[:, 1]
    exact = rows["fp32", "contiguous"]
    np.testing.assert_allclose(
        rows["fp32", "channels_last"], exact, rtol=1e-4
    )  # sums in another order, three steps on
    np.testing.assert_allclose(rows["bf16", "channels_last"], exact, rtol=1e-2)  # bfloat16 has 8 bits
    assert (rows["bf16", "channels_last"] != exact).any()


def test_arms_with_the_same_seed_start_alike_and_the_weighting_matters():
    states = {}
    for weighting, gamma in (("uniform", None), ("min_snr", 0.1)):
        settings = _settings(weighting=weighting, gamma=gamma)
        state, log = initial_state(settings, CPU), TrainingLog(1)
        start = [parameter.detach().clone() for parameter in state.model.parameters()]
        train(state, IMAGES, settings, log, until=2)
        states[weighting] = start, log.rows
    assert all(torch.equal(a, b) for a, b in zip(states["uniform"][0], states["min_snr"][0]))
    uniform, min_snr = states["uniform"][1], states["min_snr"][1]
    # same weights, batch, timesteps and noise at the first step: the unweighted error is the same number
    assert uniform[0][2] == min_snr[0][2] and uniform[0][1] == pytest.approx(uniform[0][2], rel=1e-6)
    assert min_snr[0][1] < 0.9 * uniform[0][1] and uniform[1][2] != min_snr[1][2]


def test_a_short_training_learns():
    settings = _settings(learning_rate=3e-3)
    flat = np.full((20, 8, 8, 1), 40, dtype=np.uint8)
    state, log = initial_state(settings, CPU), TrainingLog(20)
    train(state, flat, settings, log, until=120)
    # the noise can be read off a constant image, so the error must fall far below its start of about 1
    assert log.rows[-1][1] < 0.3 * log.rows[0][1]


def test_divergence_names_arm_seed_and_step_and_offers_no_checkpoint_after_it(monkeypatch):
    settings, offered = _settings(), []
    state, log = initial_state(settings, CPU), TrainingLog(4)

    def poison(state: TrainingState) -> None:
        offered.append(state.step)
        with torch.no_grad():
            next(state.model.parameters()).fill_(float("nan"))

    with pytest.raises(PipelineError, match="E1_test, seed 5, diverged at step 7: loss nan"):
        train(state, IMAGES, settings, log, until=12, checkpoint_steps=(6, 7), on_checkpoint=poison)
    assert offered == [6]
    assert [row[0] for row in log.rows_until_failure()] == [4, 5, 6, 7]
