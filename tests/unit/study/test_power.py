"""Power: the parts of the spread are those that were put in, and the rule itself reaches what is promised."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.unit.study.made_up_rows import BASE, MIN_SNR
from workflow_scripts.study import rule
from workflow_scripts.study.estimands import complete, scale_of
from workflow_scripts.study.power import MAX_SEEDS, TARGET, fewest_seeds, power_of, redrawn_at
from workflow_scripts.study.verdict import decide_values

POINT, RESAMPLES = "ddpm_nfe0050", 100
USED = {"metric": "fd_digits", "point": POINT, "comparator_point": POINT, "num_samples": 1000}
RUN = {"metric": USED["metric"], "from": {"point": POINT}}
SUPERIOR = {"direction": "lower", "threshold": 0.07}
DIFFERENCE = {"estimand": "difference", "direction": "higher", "threshold": 0.5}
LEVEL = {"estimand": "level", "test": "bound", "comparator": None, "bound": {"low": 8.0, "high": 12.0}}
NOT_WORSE = {"test": "noninferiority", "direction": "lower", "margin": 0.2}


def hypothesis(**kind):
    asked = {"name": "fd_digits", "point": POINT, "num_samples": 4000, "ema": True, "step": "final"}
    own = {"id": "E2.H1", "experiment": "E2", "role": "confirmatory", "metric": asked}
    found = complete({**own, "arm": MIN_SNR, "comparator": BASE, **(kind or SUPERIOR)})
    return found | {"metric_used": USED, "confidence": 0.95, "missing_seeds": [], "diverged": []}


def study(item, values, redrawn):
    """Verdict and finite-sample files of values {seed: (arm, comparator)} and resamples of the same shape."""
    decided = decide_values(item, values)
    named = {"study": "S", "preset": "p_pilot", "preregistered_preset": "p", "rehearsal": True, "pilot": True}
    files = [
        {**RUN, "arm": arm, "seed": seed, "resamples": list(resamples)}
        for seed, sides in redrawn.items()
        for arm, resamples in zip((MIN_SNR, BASE), sides)
    ]
    return named | {"hypotheses": [decided]}, files


def estimated(item, values, redrawn):
    (entry,) = power_of(*study(item, values, redrawn), {"E2": 5})["hypotheses"]
    return entry


def made_up(generator, num_seeds, samples, training):
    """Pairs whose log ratio has these two spreads, and resamples; what both arms share cancels."""
    values, redrawn = {}, {}
    for seed in range(num_seeds):
        shared, own = generator.normal(0, 0.3), generator.normal(0, training) + generator.normal(0, samples)
        values[seed] = (10 * math.exp(shared + own), 10 * math.exp(shared))
        common = generator.normal(0, 0.3, RESAMPLES)
        both = common + generator.normal(0, samples, RESAMPLES), common
        redrawn[seed] = tuple(value * np.exp(drawn) for value, drawn in zip(values[seed], both))
    return values, redrawn


# What the digits study showed: for Min-SNR training dominates, for the cosine schedule the samples.
@pytest.mark.parametrize(("samples", "training"), [(0.05, 0.12), (0.13, 0.09)])
def test_the_parts_of_the_spread_are_recovered(samples, training, monkeypatch, show):
    for simulation in ("power", "chance_of_an_outcome"):  # which take longest
        monkeypatch.setattr(rule, simulation, lambda *_: 1.0)
    monkeypatch.setattr(rule, "error_rates", lambda *_: {})
    generator, num = np.random.default_rng(0), 300
    found = [estimated(hypothesis(), *made_up(generator, 5, samples, training)) for _ in range(num)]
    truth = {"spread": math.hypot(samples, training), "from_samples": samples, "from_training": training}
    for name, sd in truth.items():
        variances = np.array([item[name]["sd"] ** 2 for item in found])
        if name == "from_training":  # as estimated, before it is cut at 0
            variances = np.array([f["spread"]["sd"] ** 2 - f["from_samples"]["sd"] ** 2 for f in found])
        error = variances.std(ddof=1) / math.sqrt(num)
        assert abs(variances.mean() - sd**2) < 4 * error
        covered = np.mean([item[name]["interval"][0] <= sd <= item[name]["interval"][1] for item in found])
        # 95 % of 300 intervals, with 3 standard errors of that share; the third kind may hold more
        assert covered > 0.95 - 3 * math.sqrt(0.95 * 0.05 / num)
        show(f"{name}: sd {math.sqrt(variances.mean()):.4f} for {sd:.4f}, in {covered:.1%} of 95 % intervals")


@pytest.mark.parametrize("kind", [SUPERIOR, DIFFERENCE, NOT_WORSE, LEVEL])
def test_the_rule_reaches_the_power_that_is_promised(kind, show):
    generator, item, num = np.random.default_rng(1), hypothesis(**kind), 20_000
    centre, unit, margin = scale_of(item)
    sd = 1.3 * margin * abs(unit)
    seeds = fewest_seeds(item, sd, rule.power)
    hoped, truth = ("better", -2 * margin) if item["test"] == "superiority" else ("held", 0.0)
    error = math.sqrt(TARGET * (1 - TARGET) / num)
    for count in (seeds - 1, seeds):
        # of the estimand, on its scale, brought to the rule's as the verdict does it
        drawn = centre + unit * truth + generator.normal(0, sd, (num, count))
        outcomes = rule.decide_outcomes((drawn - centre) / unit, 0.95, margin, item["test"])
        reached = np.mean(outcomes == hoped)
        show(f"{item['test']} {item['estimand']}: {count} seeds, power {reached:.4f} ± {error:.4f}")
        # the number itself was chosen by a simulation with the same error
        assert reached > TARGET - 4 * error if count == seeds else reached < TARGET + 4 * error


def test_more_samples_shrink_their_part_and_only_that():
    values, redrawn = made_up(np.random.default_rng(2), 6, 0.13, 0.09)
    entry = estimated(hypothesis(), values, redrawn)
    samples, training = (entry[name]["sd"] for name in ("from_samples", "from_training"))
    assert [option["num_samples"] for option in entry["options"]] == [500, 1000, 2000, 4000]
    for option in entry["options"]:
        expected = math.hypot(training, samples * math.sqrt(1000 / option["num_samples"]))
        assert option["sd"] == pytest.approx(expected, rel=1e-12)
        assert option["power"] >= TARGET
        assert option["half_width"] == rule.half_width(option["sd"], option["num_seeds"], 0.95)
    seeds = [option["num_seeds"] for option in entry["options"]]
    assert seeds == sorted(seeds, reverse=True) and seeds[0] > seeds[-1]
    here, asked = entry["here"], entry["preregistered"]
    assert (here["num_seeds"], here["num_samples"]) == (6, 1000)
    assert here["sd"] == pytest.approx(entry["spread"]["sd"], rel=1e-12)
    assert (asked["num_seeds"], asked["num_samples"]) == (5, 4000) and asked["sd"] < here["sd"]
    # deciding whatever is true takes at least as many as seeing a change of twice the threshold
    assert entry["settled_by"] >= entry["options"][1]["num_seeds"]


def test_the_spread_as_run_is_the_one_that_was_seen_even_if_samples_alone_would_spread_more():
    values, redrawn = made_up(np.random.default_rng(6), 4, 0.13, 0.0)
    values = {
        seed: (own * (values[0][0] / values[0][1] * other / own) ** 0.9, other)
        for seed, (own, other) in values.items()
    }
    entry = estimated(hypothesis(), values, redrawn)
    seen = entry["spread"]["sd"]
    assert entry["from_training"]["sd"] == 0 and seen < 0.5 * entry["from_samples"]["sd"]
    assert entry["here"]["sd"] == entry["options"][1]["sd"] == pytest.approx(seen, rel=1e-12)
    assert entry["preregistered"]["sd"] == pytest.approx(seen / 2, rel=1e-12)


def test_without_redrawn_samples_only_seeds_are_planned():
    values, redrawn = made_up(np.random.default_rng(3), 4, 0.1, 0.1)
    del redrawn[3]
    entry = estimated(hypothesis(), values, redrawn)
    assert entry["from_samples"] is None and entry["from_training"] is None
    assert [option["num_samples"] for option in entry["options"]] == [1000]
    assert entry["preregistered"]["num_samples"] == 1000 and entry["preregistered"]["num_seeds"] == 5


def test_differences_and_levels_have_the_units_of_their_metric():
    generator = np.random.default_rng(4)
    values = {seed: tuple(10 + generator.normal(0, 1, 2)) for seed in range(4)}
    redrawn = {
        seed: tuple(value + generator.normal(0, 1, RESAMPLES) for value in values[seed]) for seed in values
    }
    pairs, draws = np.array(list(values.values())), np.array([redrawn[seed] for seed in values])
    for kind, scaled, drawn in (
        (DIFFERENCE, pairs[:, 0] - pairs[:, 1], draws[:, 0] - draws[:, 1]),
        (LEVEL, pairs[:, 0], draws[:, 0]),
    ):
        item = hypothesis(**kind)
        sides = 1 if kind is LEVEL else 2
        entry = estimated(item, {seed: pair[:sides] for seed, pair in values.items()}, redrawn)
        assert entry["spread"]["sd"] == pytest.approx(scaled.std(ddof=1))
        assert entry["from_samples"]["sd"] == pytest.approx(math.sqrt(drawn.var(axis=1, ddof=1).mean()))


def test_what_cannot_be_estimated_or_reached_is_null():
    one = estimated(hypothesis(), {1: (8.0, 10.0)}, {})
    assert one["spread"] is None and one["options"] == [] and one["num_seeds"] == 1
    zero = estimated(hypothesis(), {1: (0.0, 10.0), 2: (8.0, 10.0)}, {})
    assert zero["spread"] is None
    wild = estimated(hypothesis(), {1: (1.0, 100.0), 2: (100.0, 1.0), 3: (1.0, 1.0)}, {})
    assert wild["options"][0]["num_seeds"] is None and wild["settled_by"] is None
    # with hardly any spread two seeds suffice, and no search goes below
    assert fewest_seeds(hypothesis(), 1e-6, rule.power) == 2 < MAX_SEEDS


def test_the_single_run_of_an_arm_without_training_is_redrawn_once():
    values, redrawn = made_up(np.random.default_rng(5), 3, 0.1, 0.1)
    verdict, files = study(hypothesis(), values, redrawn)
    single = next(item for item in files if item["arm"] == BASE) | {"seed": 0}
    files = [item for item in files if item["arm"] != BASE] + [single]
    assert power_of(verdict, files, {"E2": 5})["hypotheses"][0]["from_samples"] is not None


def test_samples_are_redrawn_where_a_hypothesis_is_about_their_distance():
    context = {
        "points": {POINT: {"sampler": "ddpm", "nfe": 50, "num_samples": 1000}, "few": {"num_samples": 15}},
        "metric": "fd_digits",
        "num_probes": 16,
        "final_step": 2000,
        "rehearsal": True,
    }
    items = [hypothesis(), hypothesis()]
    items[1]["metric"] = {**items[1]["metric"], "name": "recall"}
    points = {MIN_SNR: context["points"], BASE: context["points"]}
    assert redrawn_at(items, context, points) == [(MIN_SNR, POINT), (BASE, POINT)]
    assert redrawn_at(items[1:], context, points) == []
    items[0]["metric"] = {**items[0]["metric"], "comparator_point": "few"}
    assert redrawn_at(items, context, points) == [(MIN_SNR, POINT)]
    assert redrawn_at(items, context, {}) == []
