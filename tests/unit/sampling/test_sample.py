from __future__ import annotations

import pytest
import torch

from tests.recorded_graphs import record_on_a_cpu
from tests.sampled import diffusion_of, sample
from workflow_scripts.core.capture import WARM_UP
from workflow_scripts.core.errors import ConfigError, PipelineError
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.sampling.noise import SampleNoise
from workflow_scripts.sampling.respacing import trailing_timesteps
from workflow_scripts.sampling.sample import CHECK_EVERY, SamplingLoop

SHAPE = (1, 4, 4)
SAMPLERS = (
    {"name": "ddpm"},
    {"name": "ddpm_large"},
    {"name": "ddim", "eta": 0.0},
    {"name": "ddim", "eta": 1.0},
)


@pytest.fixture
def diffusion() -> GaussianDiffusion:
    return diffusion_of(num_timesteps=200)


def optimal_for_unit_gaussians(diffusion: GaussianDiffusion, mean: float, variance: float):
    """The optimal eps-network for independent pixels N(mean, variance), without batch effects."""

    def model(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        signal = diffusion.alphas_cumprod[t].reshape(-1, 1, 1, 1)
        factor = (1 - signal).sqrt() / (signal * variance + 1 - signal)
        return factor.float() * (x_t - (signal.sqrt() * mean).float())

    return model


def draw(
    diffusion: GaussianDiffusion, sampler: dict[str, object], indices: range, clip: bool = True
) -> torch.Tensor:
    noise = SampleNoise(7, indices, SHAPE)
    return sample(
        optimal_for_unit_gaussians(diffusion, 0.2, 0.8), diffusion, sampler, 15, noise.x_T, noise.step, clip
    )


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_batching_changes_no_byte(diffusion: GaussianDiffusion, sampler: dict[str, object]) -> None:
    whole = draw(diffusion, sampler, range(12))
    for split in ([5, 7], [1, 3, 8]):
        firsts = [sum(split[:position]) for position in range(len(split))]
        parts = [draw(diffusion, sampler, range(first, first + size)) for first, size in zip(firsts, split)]
        assert torch.cat(parts).numpy().tobytes() == whole.numpy().tobytes()


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("nfe", [1, 7, 200])
def test_nfe_counts_network_calls_and_the_last_step_draws_no_noise(
    diffusion: GaussianDiffusion, sampler: dict[str, object], nfe: int
) -> None:
    calls, noise_steps, told = [], [], []
    optimal = optimal_for_unit_gaussians(diffusion, 0.0, 1.0)

    def model(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        assert t.dtype == torch.int64 and t.shape == (1,)
        calls.append(int(t[0]))
        return optimal(x_t, t)

    def noise_fn(k: int) -> torch.Tensor:
        noise_steps.append(k)
        return torch.zeros(2, *SHAPE)

    sample(model, diffusion, sampler, nfe, torch.ones(2, *SHAPE), noise_fn, True, told.append)
    assert len(calls) == nfe and calls[0] == 199 and calls == sorted(set(calls), reverse=True)
    assert told == list(range(1, nfe + 1))
    deterministic = sampler["name"] == "ddim" and not sampler.get("eta")
    assert noise_steps == ([] if deterministic else list(range(nfe - 1)))


def test_clipping_bounds_the_image_and_only_when_asked(diffusion: GaussianDiffusion) -> None:
    clipped = draw(diffusion, {"name": "ddpm"}, range(40))
    assert clipped.abs().max() == 1.0
    assert draw(diffusion, {"name": "ddpm"}, range(40), clip=False).abs().max() > 1.5


def test_the_first_input_is_x_T_and_x_T_is_left_alone(diffusion: GaussianDiffusion) -> None:
    x_T, inputs = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0)), []

    def model(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        inputs.append(x_t.clone())
        return torch.zeros_like(x_t)

    before = x_T.clone()
    sample(model, diffusion, {"name": "ddim", "eta": 0.0}, 3, x_T, lambda k: torch.zeros_like(x_T), True)
    assert torch.equal(inputs[0], before) and torch.equal(x_T, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("clip", [True, False])
def test_a_prediction_that_is_not_finite_stops_at_its_step(
    diffusion: GaussianDiffusion, value: float, clip: bool
) -> None:
    def model(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        output = torch.zeros_like(x_t)
        if int(t[0]) < 100:  # trailing, 4 of 200: 199, 149, 99, 49
            output[-1, 0, 0, 0] = value
        return output

    with pytest.raises(PipelineError, match=r"ddpm: the prediction is not finite at step 3 of 4 \(t = 99\)"):
        zeros = torch.zeros(2, *SHAPE)
        sample(model, diffusion, {"name": "ddpm"}, 4, zeros, lambda k: zeros, clip)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("nfe", [1, 3, 15])
def test_one_recording_serves_every_step_and_batch(diffusion, sampler, nfe, monkeypatch) -> None:
    """Replaying gives the bytes of calling; with few NFE the recording happens in a later batch."""
    model = optimal_for_unit_gaussians(diffusion, 0.2, 0.8)
    batches = [range(first, first + 3) for first in (0, 3, 6, 9, 12)]

    def drawn() -> bytes:
        loop = SamplingLoop(model, diffusion, sampler, nfe, torch.empty(3, *SHAPE), True)
        noises = [SampleNoise(7, batch, SHAPE) for batch in batches]
        return torch.cat([loop.draw(noise.x_T, noise.step) for noise in noises]).numpy().tobytes()

    expected = drawn()
    graphs = record_on_a_cpu(monkeypatch)
    assert drawn() == expected
    assert (graphs.eager_calls, graphs.recordings, graphs.replays) == (WARM_UP, 1, 5 * nfe - WARM_UP)


@pytest.mark.parametrize("bad", [CHECK_EVERY - 2, CHECK_EVERY, CHECK_EVERY + 1])
def test_the_first_bad_step_is_named_wherever_it_is_looked_for(
    diffusion: GaussianDiffusion, bad: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    nfe, told = CHECK_EVERY + 10, []
    first_t = int(trailing_timesteps(200, nfe)[bad])

    def model(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        # once not finite, finite again: only a note of it can tell
        return torch.where((t == first_t).reshape(-1, 1, 1, 1), torch.inf, 0.0) + torch.zeros_like(x_t)

    record_on_a_cpu(monkeypatch)
    loop = SamplingLoop(model, diffusion, {"name": "ddpm"}, nfe, torch.zeros(2, *SHAPE), True)
    with pytest.raises(PipelineError, match=rf"at step {bad + 1} of {nfe} \(t = {first_t}\)"):
        loop.draw(torch.zeros(2, *SHAPE), lambda k: torch.zeros(2, *SHAPE), told.append)
    assert len(told) < bad + 1 + CHECK_EVERY


def test_an_unknown_sampler_is_refused(diffusion: GaussianDiffusion) -> None:
    with pytest.raises(ConfigError, match="known are ddpm, ddpm_large, ddim"):
        SamplingLoop(lambda x, t: x, diffusion, {"name": "dpm"}, 10, torch.zeros(1, *SHAPE), True)
