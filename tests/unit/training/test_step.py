"""An update is the algorithm written out; recorded, replayed or resumed, it gives the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.recorded_graphs import record_on_a_cpu
from tests.tiny_run import IMAGES, bytes_of, saved_and_loaded, tiny_settings, trained
from workflow_scripts.core.capture import WARM_UP
from workflow_scripts.core.randomness import stream, torch_seed
from workflow_scripts.nets.build import build_model
from workflow_scripts.training.step import TrainingStep, initial_state

CPU = torch.device("cpu")


def test_steps_are_the_algorithm_written_out():
    settings = tiny_settings(model={"dropout": 0.0})
    state, rows = trained(settings, 3)

    torch.manual_seed(torch_seed(5, "init"))
    model = build_model(settings["model"], 1, 8)
    averages = [parameter.detach().clone() for parameter in model.parameters()]
    first = [torch.zeros_like(parameter) for parameter in averages]
    second = [torch.zeros_like(parameter) for parameter in averages]
    alphas_cumprod = np.cumprod(1 - np.linspace(1e-3, 0.2, 50))
    order = stream(5, "order", 0).permutation(20)
    for step in range(3):
        images = IMAGES[order[6 * step : 6 * step + 6]]
        x_start = torch.tensor(images.transpose(0, 3, 1, 2) / 127.5 - 1).float()
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
        np.testing.assert_allclose(rows[step][1:], expected, rtol=2e-5)
    assert max(row[3] for row in rows) > 0.5, "clipping was not exercised"
    for parameter, expected in zip(state.ema.model.parameters(), averages):
        # Adam divides by the gradient's own size, so a parameter whose gradient is rounding noise may move by
        # up to the learning rate of 1e-3 in either direction; a tenth of it tells such noise from a wrong
        # formula.
        torch.testing.assert_close(parameter, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("max_norm", [0.01, 0.5, 1e3])
def test_clipping_has_the_bytes_of_torchs(max_norm):
    settings = tiny_settings(training={"grad_clip_norm": max_norm})
    state = initial_state(settings, CPU)
    state.model.train()
    step, seen = TrainingStep(state, {"images": IMAGES}, settings), []
    weights = state.trained["model"].weights
    set_gradient, gradient = weights.set_gradient, weights.values.grad

    def set_and_keep(gradients):
        set_gradient(gradients)
        seen.append(gradient.clone())

    weights.set_gradient = set_and_keep
    step.run()
    (unclipped,) = seen
    theirs = torch.nn.Parameter(torch.zeros_like(unclipped))
    theirs.grad = unclipped
    assert torch.nn.utils.clip_grad_norm_([theirs], max_norm) == step.values[2]
    assert torch.equal(theirs.grad, gradient)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_replayed_and_resumed_steps_are_the_steps(precision, monkeypatch):
    settings = tiny_settings(training={"precision": precision})
    eager, eager_rows = trained(settings, 12, every=5)
    graphs = record_on_a_cpu(monkeypatch)
    replayed, rows = trained(settings, 12, every=5)
    assert bytes_of(replayed) == bytes_of(eager)
    assert rows == eager_rows and [row[0] for row in rows] == [5, 10, 12]
    assert (graphs.eager_calls, graphs.recordings, graphs.replays) == (WARM_UP, 1, 12 - WARM_UP)
    for cut in (1, WARM_UP, WARM_UP + 1, 9):
        first, _ = trained(settings, cut)
        second, _ = trained(settings, 12, saved_and_loaded(first, settings))
        assert bytes_of(second) == bytes_of(eager), f"resumed after step {cut}"


def test_bf16_trains_nearly_the_same_and_keeps_float32():
    rows = {}
    for precision in ("fp32", "bf16"):
        settings = tiny_settings(model={"dropout": 0.0}, training={"precision": precision})
        state, logged = trained(settings, 3)
        moments = [
            moment for values in state.trained["model"].optimizer.state.values() for moment in values.values()
        ]
        weights = [*state.model.parameters(), *state.ema.model.parameters()]
        assert {value.dtype for value in (*weights, *moments)} == {torch.float32}
        rows[precision] = np.array(logged)[:, 1]
    np.testing.assert_allclose(rows["bf16"], rows["fp32"], rtol=1e-2)  # bfloat16 has 8 bits
    assert (rows["bf16"] != rows["fp32"]).any()


def test_arms_with_the_same_seed_start_alike_and_the_weighting_matters():
    states, rows = {}, {}
    for weighting, gamma in (("uniform", None), ("min_snr", 0.1)):
        settings = tiny_settings(
            model={"dropout": 0.0}, loss={"weighting": weighting, "min_snr_gamma": gamma}
        )
        state = initial_state(settings, CPU)
        states[weighting] = [parameter.detach().clone() for parameter in state.model.parameters()]
        rows[weighting] = trained(settings, 2, state)[1]
    assert all(torch.equal(a, b) for a, b in zip(states["uniform"], states["min_snr"]))
    uniform, min_snr = rows["uniform"], rows["min_snr"]
    # same weights, batch, timesteps and noise at the first step: the unweighted error is the same number
    assert uniform[0][2] == min_snr[0][2] and uniform[0][1] == pytest.approx(uniform[0][2], rel=1e-6)
    assert min_snr[0][1] < 0.9 * uniform[0][1] and uniform[1][2] != min_snr[1][2]


def test_a_short_training_learns():
    settings = tiny_settings(model={"dropout": 0.0}, training={"learning_rate": 3e-3})
    _, rows = trained(settings, 120, every=20, images=np.full((20, 8, 8, 1), 40, dtype=np.uint8))
    # the noise can be read off a constant image, so the error must fall far below its start of about 1
    assert rows[-1][2] < 0.3 * rows[0][2]
