"""Every state of a sampling run against diffusers' schedulers, with the same network and the same noise.

diffusers stores alphas_cumprod in float32, where 1 - alphas_cumprod[t] / alphas_cumprod[t - 1] keeps about
three digits at small t. The peer therefore gets our float64 table; its formulas and timesteps stay its own.
Whole runs are compared in float64, since this made-up network doubles a rounding error at many steps.
"""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from tests.sampled import diffusion_of, sample
from workflow_scripts.diffusion.process import GaussianDiffusion

PREDICTION = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
VARIANCE = {"ddpm": "fixed_small", "ddpm_large": "fixed_large"}
SCHEDULE = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
SAMPLERS = (
    {"name": "ddpm"},
    {"name": "ddpm_large"},
    {"name": "ddim", "eta": 0.0},
    {"name": "ddim", "eta": 0.5},
)
SHAPE = (3, 2, 4, 4)


def make_model(diffusion: GaussianDiffusion):
    """A nonlinear estimate of x_start in the prediction type; beyond [-1, 1], so that clipping acts."""

    def model(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        a = diffusion.alphas_cumprod[t].sqrt().to(x_t.dtype).reshape(-1, 1, 1, 1)
        s = (1 - diffusion.alphas_cumprod[t]).sqrt().to(x_t.dtype).reshape(-1, 1, 1, 1)
        x_start = 1.5 * torch.sin(2 * x_t + t.reshape(-1, 1, 1, 1) / 300)
        noise = (x_t - a * x_start) / s
        return {"eps": noise, "x0": x_start, "v": a * noise - s * x_start}[diffusion.prediction_type]

    return model


def generator(k: int) -> torch.Generator:
    return torch.Generator().manual_seed(100 + k)


def our_states(diffusion: GaussianDiffusion, sampler: dict, nfe: int, clip: bool, dtype: torch.dtype):
    states, model = [], make_model(diffusion)

    def recording(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        states.append(x_t.clone())
        return model(x_t, t)

    def noise_fn(k: int) -> torch.Tensor:
        return torch.randn(SHAPE, generator=generator(k), dtype=dtype)

    x_start = sample(recording, diffusion, sampler, nfe, noise_fn(-1), noise_fn, clip)
    return [*states, x_start]


def peer_of(diffusion: GaussianDiffusion, sampler: dict, nfe: int, clip: bool, schedule: str = "linear"):
    """(scheduler, options of its steps)."""
    options = {
        "clip_sample": clip,
        "prediction_type": PREDICTION[diffusion.prediction_type],
        "timestep_spacing": "trailing",
        "beta_schedule": SCHEDULE[schedule],
    }
    if sampler["name"] == "ddim":
        peer = DDIMScheduler(diffusion.num_timesteps, **options)
        # The noise is then taken from the clipped x_start, as in the DDIM authors' code.
        step_options = {"eta": sampler.get("eta", 0.0), "use_clipped_model_output": True}
    else:
        peer = DDPMScheduler(diffusion.num_timesteps, variance_type=VARIANCE[sampler["name"]], **options)
        step_options = {}
    peer.set_timesteps(nfe)
    return peer, step_options


def assert_same_run(diffusion: GaussianDiffusion, sampler: dict, nfe: int, clip: bool, *schedule: str):
    peer, options = peer_of(diffusion, sampler, nfe, clip, *schedule)
    peer.alphas_cumprod = diffusion.alphas_cumprod
    model, ours = make_model(diffusion), our_states(diffusion, sampler, nfe, clip, torch.float64)
    x = ours[0]
    theirs = [x]
    for k, t in enumerate(peer.timesteps):
        result = peer.step(model(x, t.expand(len(x))), int(t), x, generator=generator(k), **options)
        x = result.prev_sample
        theirs.append(x)
    # The last step's mean is its prediction of x_start. diffusers' respaced DDPM adds beta's noise even here,
    # because it only leaves it out at t = 0; we never do.
    theirs[-1] = result.pred_original_sample
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-5, atol=1e-5)


# The whole chain, and respaced ones; diffusers' DDIM only knows an nfe that divides the number of timesteps.
@pytest.mark.parametrize(("num_timesteps", "nfe"), [(100, 100), (1000, 20), (1000, 50), (1000, 30)])
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("prediction_type", PREDICTION)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_every_state_is_diffusers(sampler, prediction_type, clip, num_timesteps, nfe) -> None:
    if sampler["name"] == "ddim" and num_timesteps % nfe:
        nfe = 25
    assert_same_run(diffusion_of(prediction_type, num_timesteps), sampler, nfe, clip)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_every_state_is_diffusers_on_the_cosine_schedule(sampler: dict) -> None:
    assert_same_run(diffusion_of("v", schedule="cosine"), sampler, 50, True, "cosine")


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("prediction_type", PREDICTION)
def test_single_float32_steps_are_diffusers_with_its_own_tables(sampler, prediction_type) -> None:
    """As people use both: float32 states, the peer untouched, every step started from our state."""
    diffusion = diffusion_of(prediction_type)
    states = our_states(diffusion, sampler, 50, True, torch.float32)
    assert all(state.dtype == torch.float32 for state in states)
    peer, options = peer_of(diffusion, sampler, 50, True)
    model = make_model(diffusion)
    for k, t in enumerate(peer.timesteps[:-1]):
        output = model(states[k], t.expand(len(states[k])))
        theirs = peer.step(output, int(t), states[k], generator=generator(k), **options)
        torch.testing.assert_close(states[k + 1], theirs.prev_sample, rtol=1e-5, atol=1e-5)
