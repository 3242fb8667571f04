"""Smoothness, stability and roughness of made-up logs and distances, against their closed forms."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tests.unit.metrics.test_metric_steps import ROW
from workflow_scripts.core.epochs import epoch_means
from workflow_scripts.core.files import write_json
from workflow_scripts.core.step import Step
from workflow_scripts.metrics.measures.frechet_roughness import frechet_roughness
from workflow_scripts.metrics.measures.training_smoothness import training_smoothness
from workflow_scripts.metrics.measures.training_stability import training_stability
from workflow_scripts.steps import measure

CHANCE = math.log(2)


def log_of(every=1, **columns):
    count = len(next(iter(columns.values())))
    steps = every * np.arange(1, count + 1.0)
    return {"step": steps, **{name: np.asarray(values, float) for name, values in columns.items()}}


# --- smoothness


def test_an_epochs_mean_is_that_of_its_share_of_each_window():
    # 1, 3, 5, …: epochs of 2.5 steps cut steps in two
    steps = np.arange(1.0, 11)
    values = 2 * steps - 1
    assert epoch_means(steps, values, 2.5) == pytest.approx([6.5 / 2.5, 18.5 / 2.5, 31.5 / 2.5, 43.5 / 2.5])
    assert epoch_means(steps, values, 5.0) == pytest.approx([5, 15])
    # windows of five steps tell the same epochs of five, and cannot tell shorter ones
    coarse = values.reshape(2, 5).mean(axis=1)
    assert epoch_means(steps[4::5], coarse, 5.0) == pytest.approx([5, 15])
    assert len(epoch_means(steps[4::5], coarse, 2.5)) == 0
    # only whole epochs, and only up to where a run diverged
    assert len(epoch_means(steps, values, 3.0)) == 3
    assert epoch_means(steps, np.where(steps > 7, np.nan, values), 2.5) == pytest.approx(
        [6.5 / 2.5, 18.5 / 2.5]
    )


def test_an_error_that_halves_each_epoch_falls_smoothly_by_half():
    by_epoch = 0.8 * 0.5 ** np.arange(12)
    log = log_of(mse=np.repeat(by_epoch, 4), loss=np.ones(48))
    found = training_smoothness(log, batch_size=25, num_real=100, prediction_type="eps")
    assert found == pytest.approx(
        {
            "excess_total_variation": 0,
            "error_reduction_epoch10": 1 - 0.5**9,
            "error_below_zero_predictor_epoch10": 1 - 0.8 * 0.5**9,
        },
        abs=1e-12,
    )
    assert "error_below_zero_predictor_epoch10" not in training_smoothness(log, 25, 100, "v")
    # one rise of .1 on the way down from .8 to .2: twice that in excess of .6
    log = log_of(mse=[0.8, 0.4, 0.5, 0.2])
    found = training_smoothness(log, batch_size=100, num_real=100, prediction_type="eps")
    assert found == {"excess_total_variation": pytest.approx(0.2 / 0.6)}
    rising = training_smoothness(log_of(mse=[0.2, 0.8]), 1, 1, "eps")
    assert math.isnan(rising["excess_total_variation"])


def test_a_gans_losses_are_no_errors_and_have_no_smoothness():
    assert training_smoothness(log_of(loss=[3, 2, 1]), 1, 1, "eps") == {}
    assert training_smoothness(log_of(mse=[3]), 1, 1, "eps") == {}


# --- stability


def test_spikes_are_steps_above_five_running_medians_of_the_second_half():
    norms = np.where(np.arange(400) < 200, 1.0, 2.0)
    norms[[50, 60, 250, 300, 399]] = [9, 9, 10.1, 9.9, 50]
    found = training_stability(log_of(grad_norm=norms))
    # 9.9 is below 5 x 2, and the first half does not count
    assert found == {"gradient_spikes": 2 / 200}


def test_the_error_deviates_by_what_its_straight_line_does_not_explain():
    # + - - + has neither a mean nor a slope
    wiggle = 0.01 * np.tile([1, -1, -1, 1], 25)
    line = np.linspace(2, 1, 100)
    log = log_of(grad_norm=np.ones(200), mse=np.concatenate((np.full(100, 9.0), line + wiggle)))
    found = training_stability(log)
    assert found["error_deviation"] == pytest.approx(0.01 / np.median(line + wiggle), rel=1e-9)
    assert found["gradient_spikes"] == 0


@pytest.mark.parametrize(
    ("loss", "accuracy", "expected"),
    [(CHANCE, 0.5, 0), (0.09, 0.5, 0.25), (CHANCE, 0.96, 0.25), (0.09, 0.99, 0.25)],
)
def test_a_discriminator_saturates_where_it_is_too_sure(loss, accuracy, expected):
    """In the last quarter of the second half: 5 of its 20 windows."""
    late = np.arange(800) >= 700
    log = log_of(
        grad_norm=np.ones(800),
        discriminator_loss=np.where(late, loss, CHANCE),
        discriminator_accuracy=np.where(late, accuracy, 0.5),
    )
    assert training_stability(log) == {"gradient_spikes": 0, "discriminator_saturation": expected}


def test_of_a_run_that_diverged_what_was_finite_counts():
    whole = log_of(grad_norm=np.ones(100), mse=np.linspace(2, 1, 100))
    broken = {name: np.append(values, [np.nan]) for name, values in whole.items()}
    broken["step"][-1] = 101
    assert training_stability(broken) == training_stability(whole)
    assert training_stability(log_of(grad_norm=[np.nan], mse=[1])) == {}


# --- roughness


def test_a_distance_that_only_falls_is_not_rough():
    assert frechet_roughness(np.array([8.0, 4, 2, 1])) == pytest.approx(
        {"frechet_excess_variation": 0, "frechet_rises": 0, "frechet_last_over_best": 1}, abs=1e-12
    )
    # by powers of two: down 3, up 1, down 1
    found = frechet_roughness(np.array([16.0, 2, 4, 2]))
    assert found["frechet_excess_variation"] == pytest.approx(5 / 3 - 1)
    assert found["frechet_rises"] == pytest.approx(math.log(2))
    collapsed = frechet_roughness(np.array([4.0, 2, 8]))
    assert math.isnan(collapsed["frechet_excess_variation"]) and collapsed["frechet_last_over_best"] == 4


def test_roughness_is_measured_on_the_judged_checkpoints_and_the_last(tmp_path):
    row = ROW | {"value": 16.0, "stderr": None, "interval": None, "on": {"num_samples": 60}}
    row.pop("num_samples")

    def at(step, value, point="few"):
        return row | {"value": value, "from": {"step": step, "point": point, "weights": "ema"}}

    # in no order, and the last one judged at other points too
    write_json(tmp_path / "by_step.json", [at(20, 2.0), at(10, 16.0), at(30, 4.0)])
    write_json(tmp_path / "final.json", [at(40, 99.0, "many"), at(40, 2.0)])
    settings = {name: row[name] for name in ("study", "preset", "arm", "seed")}
    settings |= {"metric": "frechet_roughness", "step": 40, "points": []}
    inputs = {"frechet_by_step": [tmp_path / "by_step.json"], "frechet_distance": [tmp_path / "final.json"]}

    def measured():
        measure.main(Step("measure", settings, inputs, {"metrics": [tmp_path / "rows.json"]}))
        return json.loads((tmp_path / "rows.json").read_text())

    found = {each["metric"]: each for each in measured()}
    assert found["frechet_rises"]["value"] == pytest.approx(math.log(2)) and len(found) == 3
    for each in found.values():
        assert each["from"] == at(40, 2.0)["from"] and each["on"] == {"num_samples": 60}
    # it diverged: the last checkpoint gives no images
    write_json(tmp_path / "final.json", [at(40, 99.0, "many")])
    assert measured() == []
