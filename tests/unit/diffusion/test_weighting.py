from __future__ import annotations

import numpy as np
import pytest

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.core.registry import known
from workflow_scripts.diffusion.schedules import SCHEDULES, alphas_cumprod_of, make_betas, snr_of
from workflow_scripts.diffusion.weighting import PREDICTION_TYPES, loss_weights


def schedule_snr(schedule: str) -> np.ndarray:
    settings = {"schedule": schedule, "num_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02}
    return snr_of(alphas_cumprod_of(make_betas(settings)))


def hang_et_al(snr: float, prediction_type: str, gamma: float) -> float:
    """Section 3.4 of the paper by cases, with the minimum taken by hand."""
    if prediction_type == "x0":
        return snr if snr <= gamma else gamma
    if prediction_type == "eps":
        return 1.0 if snr <= gamma else gamma / snr
    return snr / (snr + 1) if snr <= gamma else gamma / (snr + 1)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("gamma", [1.0, 5.0, 20.0])
def test_min_snr_is_hang_et_al(schedule: str, prediction_type: str, gamma: float) -> None:
    snr = schedule_snr(schedule)
    expected = [hang_et_al(float(value), prediction_type, gamma) for value in snr]
    np.testing.assert_allclose(loss_weights(snr, prediction_type, "min_snr", gamma), expected, rtol=1e-14)


@pytest.mark.parametrize(("schedule", "mean"), [("linear", 0.913), ("cosine", 0.824)])
def test_mean_weight_at_gamma_5(schedule: str, mean: float) -> None:
    """The known confound of scale: Min-SNR also shrinks the loss. Stated to three digits."""
    assert loss_weights(schedule_snr(schedule), "eps", "min_snr", 5.0).mean() == pytest.approx(mean, abs=5e-4)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_normalized_has_mean_one_and_the_same_shape(prediction_type: str) -> None:
    snr = schedule_snr("linear")
    plain = loss_weights(snr, prediction_type, "min_snr", 5.0)
    normalized = loss_weights(snr, prediction_type, "min_snr_normalized", 5.0)
    assert normalized.mean() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(normalized / plain, 1 / plain.mean(), rtol=1e-12)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_truncated_snr_by_cases(prediction_type: str) -> None:
    snr = np.array([1e-3, 0.5, 1.0, 7.0, 1e4])
    x0 = np.array([1.0, 1.0, 1.0, 7.0, 1e4])
    expected = {"x0": x0, "eps": x0 / snr, "v": x0 / (snr + 1)}[prediction_type]
    np.testing.assert_allclose(
        loss_weights(snr, prediction_type, "truncated_snr", None), expected, rtol=1e-14
    )


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_uniform_is_one_and_float64(prediction_type: str) -> None:
    weights = loss_weights(np.array([2, 1]), prediction_type, "uniform", None)
    assert weights.dtype == np.float64 and (weights == 1.0).all()


@pytest.mark.parametrize(("weighting", "gamma"), [("min_snr", 5.0), ("truncated_snr", None)])
def test_one_error_has_one_loss_in_all_parameterizations(weighting: str, gamma: float | None) -> None:
    """weight_eps mse_eps = weight_x0 mse_x0 = weight_v mse_v, the errors taken from x_t = a x0 + s eps."""
    snr = schedule_snr("cosine")
    a, s = np.sqrt(snr / (1 + snr)), np.sqrt(1 / (1 + snr))
    x_start, noise, x_start_error = 0.3, -1.1, 0.05
    x_t = a * x_start + s * noise
    other_x_start = x_start + x_start_error
    other_noise = (x_t - a * other_x_start) / s
    mse = {
        "x0": np.full_like(snr, x_start_error**2),
        "eps": (other_noise - noise) ** 2,
        "v": ((a * other_noise - s * other_x_start) - (a * noise - s * x_start)) ** 2,
    }
    losses = {kind: loss_weights(snr, kind, weighting, gamma) * mse[kind] for kind in PREDICTION_TYPES}
    # (other_noise - noise) cancels to about 1e-16 / 2e-6 at the last timesteps, where snr is 2e-9.
    np.testing.assert_allclose(losses["eps"], losses["x0"], rtol=1e-9)
    np.testing.assert_allclose(losses["v"], losses["x0"], rtol=1e-9)


@pytest.mark.parametrize(
    ("weighting", "gamma", "message"),
    [
        ("snr", None, "there is no module|No module named"),
        ("min_snr", None, "needs loss.min_snr_gamma"),
        ("min_snr_normalized", None, "needs loss.min_snr_gamma"),
        ("uniform", 5.0, "does not use it"),
        ("truncated_snr", 5.0, "does not use it"),
    ],
)
def test_impossible_combinations_are_refused(weighting: str, gamma: float | None, message: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=message):
        loss_weights(np.array([1.0]), "eps", weighting, gamma)


def test_every_weighting_is_positive() -> None:
    for weighting in known("loss.weighting"):
        gamma = 5.0 if weighting.startswith("min_snr") else None
        assert (loss_weights(schedule_snr("sigmoid"), "v", weighting, gamma) > 0).all()
