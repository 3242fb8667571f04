from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from tests.sampled import diffusion_of
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.diffusion.weighting import PREDICTION_TYPES

PEER_SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2", "sigmoid": "sigmoid"}


def make(schedule: str = "linear", prediction_type: str = "eps") -> GaussianDiffusion:
    return diffusion_of(prediction_type, schedule=schedule)


def draw(dtype: torch.dtype, count: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    x_start = torch.rand((count, 2, 4, 3), generator=generator, dtype=dtype) * 2 - 1
    noise = torch.randn((count, 2, 4, 3), generator=generator, dtype=dtype)
    return x_start, torch.linspace(0, 999, count).long(), noise


@pytest.mark.parametrize("schedule", PEER_SCHEDULES)
def test_q_sample_and_v_target_agree_with_diffusers(schedule: str) -> None:
    peer = DDPMScheduler(1000, beta_start=1e-4, beta_end=0.02, beta_schedule=PEER_SCHEDULES[schedule])
    x_start, t, noise = draw(torch.float32)
    # 1e-5: diffusers accumulates alphas_cumprod in float32.
    torch.testing.assert_close(
        make(schedule).q_sample(x_start, t, noise), peer.add_noise(x_start, noise, t), rtol=0, atol=1e-5
    )
    velocity = make(schedule, "v").target(x_start, t, noise)
    torch.testing.assert_close(velocity, peer.get_velocity(x_start, noise, t), rtol=0, atol=1e-5)


@pytest.mark.parametrize("schedule", PEER_SCHEDULES)
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_a_perfect_prediction_gives_back_image_and_noise(schedule: str, prediction_type: str) -> None:
    diffusion = make(schedule, prediction_type)
    x_start, t, noise = draw(torch.float64)
    x_t, output = diffusion.q_sample(x_start, t, noise), diffusion.target(x_start, t, noise)
    # Dividing by a = 5e-5 (cosine, t = 999) or s = 6e-3 (t = 0) turns float64's 1e-16 into at most 1e-11.
    torch.testing.assert_close(diffusion.pred_x_start(output, x_t, t), x_start, rtol=0, atol=1e-10)
    torch.testing.assert_close(diffusion.pred_noise(output, x_t, t), noise, rtol=0, atol=1e-10)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_conversions_round_trip_for_an_imperfect_prediction(prediction_type: str) -> None:
    """Any output stands for one x_start and one noise, which make up x_t."""
    diffusion = make("linear", prediction_type)
    _, t, x_t = draw(torch.float64)
    output = torch.sin(3 * x_t)
    x_start, noise = diffusion.pred_x_start(output, x_t, t), diffusion.pred_noise(output, x_t, t)
    # x_start reaches 1 / a = 160 at t = 999, hence the relative tolerance.
    torch.testing.assert_close(diffusion.q_sample(x_start, t, noise), x_t, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(diffusion.target(x_start, t, noise), output, rtol=1e-9, atol=1e-9)


def test_tables_are_float64_consistent_and_frozen() -> None:
    diffusion = make("cosine")
    for table in (diffusion.alphas_cumprod, diffusion.snr, diffusion.sqrt_alphas_cumprod):
        assert table.dtype == torch.float64 and table.shape == (diffusion.num_timesteps,) == (1000,)
    total = diffusion.sqrt_alphas_cumprod**2 + diffusion.sqrt_one_minus_alphas_cumprod**2
    np.testing.assert_allclose(total.numpy(), 1.0, rtol=1e-14)
    with pytest.raises(dataclasses.FrozenInstanceError):
        diffusion.prediction_type = "v"  # type: ignore[misc]


def test_results_keep_the_dtype_of_the_images() -> None:
    x_start, t, noise = draw(torch.float32)
    for prediction_type in PREDICTION_TYPES:
        diffusion = make("linear", prediction_type).to("cpu")
        x_t = diffusion.q_sample(x_start, t, noise)
        made = (x_t, diffusion.target(x_start, t, noise), diffusion.pred_noise(noise, x_t, t))
        assert {tensor.dtype for tensor in made} == {torch.float32}


def test_an_unknown_prediction_type_is_refused() -> None:
    with pytest.raises(ValueError, match="known are eps, x0, v"):
        make("linear", "epsilon")
