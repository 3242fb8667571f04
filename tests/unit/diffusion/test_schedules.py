from __future__ import annotations

import math

import numpy as np
import pytest
from diffusers import DDPMScheduler

from workflow_scripts.diffusion.schedules import SCHEDULES, alphas_cumprod_of, make_betas, snr_of


def settings(schedule: str, **changes: object) -> dict[str, object]:
    return {"schedule": schedule, "num_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02} | changes


@pytest.mark.parametrize(
    ("schedule", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2"), ("sigmoid", "sigmoid")]
)
@pytest.mark.parametrize("num_timesteps", [50, 1000])
def test_agrees_with_diffusers(schedule: str, theirs: str, num_timesteps: int) -> None:
    peer = DDPMScheduler(num_timesteps, beta_start=1e-4, beta_end=0.02, beta_schedule=theirs)
    betas = make_betas(settings(schedule, num_timesteps=num_timesteps))
    # diffusers keeps betas in float32 (spacing 6e-8 near 1) and multiplies up to 1000 of them.
    np.testing.assert_allclose(betas, peer.betas.numpy(), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(alphas_cumprod_of(betas), peer.alphas_cumprod.numpy(), rtol=0, atol=1e-5)


def test_linear_ends_and_spacing() -> None:
    betas = make_betas(settings("linear"))
    assert (betas[0], betas[-1]) == (1e-4, 0.02)
    np.testing.assert_allclose(np.diff(betas), 0.0199 / 999, rtol=1e-10)


def test_cosine_follows_the_papers_alphas_cumprod() -> None:
    """Nichol & Dhariwal 2021, eq. 17: alphas_cumprod[t] = f(t + 1) / f(0); only the last beta is capped."""
    betas = make_betas(settings("cosine"))

    def f(time: float) -> float:
        return math.cos((time / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    expected = np.array([f(t + 1) / f(0) for t in range(999)])
    np.testing.assert_allclose(alphas_cumprod_of(betas)[:-1], expected, rtol=1e-9)
    assert betas[-1] == 0.999 and (betas[:-1] < 0.999).all()


def test_sigmoid_is_symmetric_and_written_out() -> None:
    betas = make_betas(settings("sigmoid", num_timesteps=13))
    expected = [1e-4 + 0.0199 / (1 + math.exp(-position)) for position in range(-6, 7)]
    np.testing.assert_allclose(betas, expected, rtol=1e-14)
    np.testing.assert_allclose(betas + betas[::-1], 0.0201, rtol=1e-12)


def test_sigmoid_alphas_is_jabris() -> None:
    """Their published function of time, with start -3, end 3 and tau 1, written out."""
    first, last = (1 / (1 + math.exp(-position)) for position in (-3, 3))

    def gamma(time: float) -> float:
        return (last - 1 / (1 + math.exp(-(6 * time - 3)))) / (last - first)

    betas = make_betas(settings("sigmoid_alphas"))
    expected = [gamma((t + 1) / 1000) for t in range(999)]
    np.testing.assert_allclose(alphas_cumprod_of(betas)[:-1], expected, rtol=1e-11)
    assert gamma(0.5) == pytest.approx(0.5) and betas[-1] == 0.999


def alpha_bar(time: float) -> float:
    return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2


@pytest.mark.parametrize(
    ("schedule", "beta"),
    [
        ("linear", lambda i: 1e-4 + 0.0199 * i / 999),
        ("cosine", lambda i: min(1 - alpha_bar((i + 1) / 1000) / alpha_bar(i / 1000), 0.999)),
        ("sigmoid", lambda i: 1e-4 + 0.0199 / (1 + math.exp(6 - 12 * i / 999))),
    ],
)
def test_agrees_with_diffusers_formulas_in_double_precision(schedule, beta) -> None:
    """diffusers' own tables are float32; these are its formulas."""
    expected = [beta(i) for i in range(1000)]
    np.testing.assert_allclose(make_betas(settings(schedule)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_tables_are_float64_and_ordered(schedule: str) -> None:
    betas = make_betas(settings(schedule))
    alphas_cumprod = alphas_cumprod_of(betas)
    snr = snr_of(alphas_cumprod)
    assert betas.dtype == alphas_cumprod.dtype == snr.dtype == np.float64
    assert ((betas > 0) & (betas < 1)).all() and (np.diff(betas) > 0).all()
    assert (np.diff(alphas_cumprod) < 0).all() and (np.diff(snr) < 0).all() and (snr > 0).all()
    np.testing.assert_allclose(snr / (1 + snr), alphas_cumprod, rtol=1e-13)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="known are linear, cosine, sigmoid, sigmoid_alphas"):
        make_betas(settings("quadratic"))
