"""Every state of a sampling run against diffusers' schedulers, driven by the same network and the same noise.

diffusers stores alphas_cumprod in float32, where 1 - alphas_cumprod[t] / alphas_cumprod[t - 1] keeps about
three digits at small t. The peer is therefore given the same float64 table; formulas and timesteps stay its
own. Whole runs are compared in float64, since the network made up here doubles a rounding error at many
steps.
"""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from tests.sampled import diffusion_of, sample
from workflow_scripts.diffusion.process import GaussianDiffusion

PEER_PREDICTION = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
PEER_VARIANCE = {"ddpm": "fixed_small", "ddpm_large": "fixed_large"}
# (timesteps, nfe): the whole chain, and respaced ones; diffusers' DDIM only knows an nfe that divides T.
CHAINS = [(100, 100), (1000, 20), (1000, 50)]
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


def noise_fn(k: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(SHAPE, generator=generator(k), dtype=dtype)


def our_states(
    diffusion: GaussianDiffusion, sampler: dict[str, object], nfe: int, clip: bool
) -> list[torch.Tensor]:
    states, model = [], make_model(diffusion)

    def recording(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        states.append(x_t.clone())
        return model(x_t, t)

    x_T = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x_start = sample(recording, diffusion, sampler, nfe, x_T, noise_fn, clip)
    return [*states, x_start]


def peer_states(
    scheduler, diffusion: GaussianDiffusion, nfe: int, **step_options: object
) -> list[torch.Tensor]:
    scheduler.alphas_cumprod = diffusion.alphas_cumprod
    scheduler.set_timesteps(nfe)
    model = make_model(diffusion)
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    states = [x]
    for k, t in enumerate(scheduler.timesteps):
        result = scheduler.step(model(x, t.expand(len(x))), int(t), x, generator=generator(k), **step_options)
        x = result.prev_sample
        states.append(x)
    # The last step's mean is its prediction of x_start. diffusers' respaced DDPM adds beta's noise even here,
    # because it only leaves it out at t = 0; we never do.
    states[-1] = result.pred_original_sample
    return states


def assert_same_states(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    assert len(ours) == len(theirs)
    for k, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        torch.testing.assert_close(
            our, their, rtol=1e-5, atol=1e-5, msg=lambda text, k=k: f"state {k}: {text}"
        )


@pytest.mark.parametrize(("num_timesteps", "nfe"), [*CHAINS, (1000, 30)])
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("prediction_type", PEER_PREDICTION)
@pytest.mark.parametrize("name", PEER_VARIANCE)
def test_ddpm(name: str, prediction_type: str, clip: bool, num_timesteps: int, nfe: int) -> None:
    diffusion = diffusion_of(prediction_type, num_timesteps)
    peer = DDPMScheduler(
        num_timesteps,
        variance_type=PEER_VARIANCE[name],
        clip_sample=clip,
        prediction_type=PEER_PREDICTION[prediction_type],
        timestep_spacing="trailing",
    )
    assert_same_states(our_states(diffusion, {"name": name}, nfe, clip), peer_states(peer, diffusion, nfe))


@pytest.mark.parametrize(("num_timesteps", "nfe"), CHAINS)
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("prediction_type", PEER_PREDICTION)
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_ddim(eta: float, prediction_type: str, clip: bool, num_timesteps: int, nfe: int) -> None:
    diffusion = diffusion_of(prediction_type, num_timesteps)
    peer = DDIMScheduler(
        num_timesteps,
        clip_sample=clip,
        prediction_type=PEER_PREDICTION[prediction_type],
        timestep_spacing="trailing",
    )
    # use_clipped_model_output: the noise is taken from the clipped x_start, as in the DDIM authors' code.
    theirs = peer_states(peer, diffusion, nfe, eta=eta, use_clipped_model_output=True)
    assert_same_states(our_states(diffusion, {"name": "ddim", "eta": eta}, nfe, clip), theirs)


@pytest.mark.parametrize("name", ["ddpm", "ddim"])
def test_cosine_schedule(name: str) -> None:
    diffusion = diffusion_of("v", 1000, "cosine")
    peer = (DDPMScheduler if name == "ddpm" else DDIMScheduler)(
        1000, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", timestep_spacing="trailing"
    )
    options = {} if name == "ddpm" else {"use_clipped_model_output": True}
    assert_same_states(
        our_states(diffusion, {"name": name}, 50, True), peer_states(peer, diffusion, 50, **options)
    )


@pytest.mark.parametrize("name", ["ddpm", "ddim"])
@pytest.mark.parametrize("prediction_type", PEER_PREDICTION)
def test_single_float32_steps_against_diffusers_untouched(name: str, prediction_type: str) -> None:
    """As people use both: float32 states, the peer's own tables, every step started from our state."""
    diffusion = diffusion_of(prediction_type, 1000)
    model, states = make_model(diffusion), []

    def recording(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        states.append(x_t.clone())
        return model(x_t, t)

    def noise(k: int) -> torch.Tensor:
        return noise_fn(k, torch.float32)

    states.append(sample(recording, diffusion, {"name": name}, 50, noise(-1), noise, True))
    assert all(state.dtype == torch.float32 for state in states)
    peer = (DDPMScheduler if name == "ddpm" else DDIMScheduler)(
        1000, prediction_type=PEER_PREDICTION[prediction_type], timestep_spacing="trailing"
    )
    peer.set_timesteps(50)
    options = {} if name == "ddpm" else {"use_clipped_model_output": True}
    for k, t in enumerate(peer.timesteps):
        output = model(states[k], t.expand(len(states[k])))
        theirs = peer.step(output, int(t), states[k], generator=generator(k), **options)
        torch.testing.assert_close(states[k + 1], theirs.prev_sample, rtol=1e-5, atol=1e-5)
