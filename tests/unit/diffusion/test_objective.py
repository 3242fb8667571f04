from __future__ import annotations

import pytest
import torch

from tests.sampled import diffusion_of
from workflow_scripts.diffusion.objective import eps_mse, weighted_mse
from workflow_scripts.diffusion.weighting import PREDICTION_TYPES


def draw() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x_start = torch.rand((4, 1, 3, 3), generator=generator, dtype=torch.float64) * 2 - 1
    noise = torch.randn((4, 1, 3, 3), generator=generator, dtype=torch.float64)
    return x_start, torch.tensor([3, 200, 600, 990]), noise


def estimator(prediction_type: str, scale: torch.Tensor):
    """One and the same estimator of the noise, tanh(scale x_t), expressed in each parameterization."""
    as_eps, diffusion = diffusion_of("eps"), diffusion_of(prediction_type)

    def model(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        pred_noise = torch.tanh(scale * x_t)
        return diffusion.target(as_eps.pred_x_start(pred_noise, x_t, t), t, pred_noise)

    return model, diffusion


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_weighted_mse_is_the_weighted_mean_written_out(prediction_type: str) -> None:
    model, diffusion = estimator(prediction_type, torch.tensor(0.5))
    x_start, t, noise = draw()
    weights = torch.linspace(0.1, 2.0, 1000, dtype=torch.float64)
    errors = [
        float(((model(diffusion.q_sample(x, k, n), k) - diffusion.target(x, k, n)) ** 2).sum() / 9)
        for x, k, n in zip(x_start.split(1), t.split(1), noise.split(1), strict=True)
    ]
    loss, mse = weighted_mse(model, diffusion, weights, x_start, t, noise)
    expected = sum(float(weights[k]) * error for k, error in zip(t, errors, strict=True)) / 4
    assert loss.shape == mse.shape == ()
    assert float(loss) == pytest.approx(expected, rel=1e-12)
    assert float(mse) == pytest.approx(sum(errors) / 4, rel=1e-12)


def test_the_common_objective_is_the_same_for_every_parameterization() -> None:
    x_start, t, noise = draw()
    results = []
    for prediction_type in PREDICTION_TYPES:
        model, diffusion = estimator(prediction_type, torch.tensor(0.5))
        results.append(eps_mse(model, diffusion, x_start, t, noise))
    assert results[0].shape == (4,)
    pred_noise = torch.tanh(0.5 * diffusion_of("eps").q_sample(x_start, t, noise))
    expected = (pred_noise - noise).square().mean((1, 2, 3))
    for result in results:
        torch.testing.assert_close(result, expected, rtol=1e-9, atol=0)


def test_float32_images_give_a_float32_loss_with_float64_weights() -> None:
    model, diffusion = estimator("eps", torch.tensor(0.5))
    x_start, t, noise = draw()
    loss, _ = weighted_mse(model, diffusion, diffusion.snr, x_start.float(), t, noise.float())
    assert loss.dtype == torch.float32
