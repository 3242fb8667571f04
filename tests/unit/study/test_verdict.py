"""The verdict: paired by seed, every seed reported, unlike rows refused, and each outcome's sentence."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from tests.unit.study.made_up_rows import BASE, MIN_SNR, SEEDS, changed, fd_row, trace_row
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json, sha256_file, write_json_lines
from workflow_scripts.core.step import Step
from workflow_scripts.steps import decide_verdict
from workflow_scripts.study.verdict import decide

ANALYSIS = {
    "aggregation": "geometric_mean_of_ratios",
    "interval": "paired_t",
    "confidence": 0.95,
    "multiplicity": "bonferroni",
}
CIFAR10 = {
    "preset": "cifar10",
    "rehearsal": False,
    "metric": "fid",
    "num_samples": 10000,
    "final_step": 50000,
}


def fid_hypothesis(**changes):
    """E2.H1, whose metric a rehearsal replaces."""
    metric = {"name": "fid", "ema": True, "step": "final", "sampler": "ddpm", "nfe": 50, "num_samples": 10000}
    return {
        "id": "E2.H1",
        "experiment": "E2",
        "statement": "Lower.",
        "role": "confirmatory",
        "arm": MIN_SNR,
        "comparator": BASE,
        "direction": "lower",
        "threshold": 0.07,
        "metric": metric,
        **changes,
    }


def trace_hypothesis(**changes):
    metric = {"name": "hessian_trace", "objective": "common", "num_probes": 16, "ema": True, "step": "final"}
    return fid_hypothesis(**{"id": "E2.H2", "threshold": 0.10, "metric": metric, **changes})


def context(**changes):
    study = {"study": "MS1_min_snr", "preset": "digits", "preregistered_preset": "cifar10", "rehearsal": True}
    counts = {"final_step": 2000, "num_probes": 16}
    own = {"sampler": "ddpm", "eta": None, "nfe": 50, "num_samples": changes.pop("num_samples", 1500)}
    return {
        **study,
        **counts,
        "points": {"ddpm_nfe0050": own},
        "metric": "fd_digits",
        "arms": {BASE: list(SEEDS), MIN_SNR: list(SEEDS)},
        **changes,
    }


def rows_with(ratios, make=fd_row, base=10.0, **changes):
    """Rows of both arms, the arm's value `ratio` times the comparator's, which differs between seeds."""
    rows = []
    for index, (seed, ratio) in enumerate(zip(SEEDS, ratios, strict=True)):
        comparator = base * (1 + index)
        rows.append(make(arm=BASE, seed=seed, value=comparator, **changes))
        rows.append(make(arm=MIN_SNR, seed=seed, value=comparator * ratio, **changes))
    return rows


BETTER = rows_with((0.80, 0.81, 0.80))


def decide_one(rows, hypothesis=None, **changes):
    return decide([hypothesis or fid_hypothesis()], rows, ANALYSIS, context(**changes))["hypotheses"][0]


def test_numbers_of_a_hypothesis_are_the_paired_t_analysis_of_log_ratios():
    ratios = (0.80, 0.84, 0.82)
    verdict = decide([fid_hypothesis(), trace_hypothesis()], rows_with(ratios), ANALYSIS, context())
    result = verdict["hypotheses"][0]
    test = stats.ttest_1samp(np.log(ratios), 0.0).confidence_interval(0.975)
    assert result["outcome"] == "better"
    assert result["confidence"] == pytest.approx(0.975)
    # 1e-9: the ratios pass through a product and two logarithms
    assert result["relative_change"] == pytest.approx(stats.gmean(ratios) - 1, rel=1e-9)
    assert result["interval"] == pytest.approx([math.expm1(test.low), math.expm1(test.high)], rel=1e-9)
    assert [seed["seed"] for seed in result["seeds"]] == list(SEEDS)
    changes = [seed["relative_change"] for seed in result["seeds"]]
    assert changes == pytest.approx([-0.20, -0.16, -0.18], rel=1e-9)
    assert [seed["comparator_value"] for seed in result["seeds"]] == [10.0, 20.0, 30.0]
    assert result["missing_seeds"] == []
    spread = result["error_rates"]["log_sd_of_paired_difference"]
    assert spread == pytest.approx(np.log(ratios).std(ddof=1), rel=1e-9)


@pytest.mark.parametrize(
    "ratios, outcome, words",
    [
        ((0.80, 0.84, 0.82), "better", "at least 7.0 % lower and the interval excludes zero change."),
        ((1.20, 1.24, 1.22), "worse", "at least 7.5 % higher and the interval excludes zero change."),
        ((1.00, 1.01, 0.99), "neutral", "the whole interval lies between −7.0 % and +7.5 %."),
        ((0.970, 0.975, 0.972), "neutral", "the whole interval lies between −7.0 % and +7.5 %."),
        ((0.50, 1.00, 0.80), "inconclusive", "includes zero change and reaches beyond −7.0 % or +7.5 %."),
        ((0.93, 0.96, 0.945), "inconclusive", "zero change, but the estimate is not at least 7.0 % lower."),
        ((1.07, 1.04, 1.055), "inconclusive", "zero change, but the estimate is not at least 7.5 % higher."),
    ],
)
def test_each_outcome_has_its_sentence_with_numbers(ratios, outcome, words):
    result = decide_one(rows_with(ratios, base=6.0))
    assert result["outcome"] == outcome
    assert result["reason"].startswith("FD (fd_digits) 10.9 → ")  # geometric mean of 6, 12 and 18
    assert result["reason"].endswith(words)


def test_the_whole_sentence():
    # by hand: base 10, 20, 30; 18.17 × 0.8198; t of the log ratios, 2 df, 97.5 % one-sided = 4.303
    assert decide_one(rows_with((0.80, 0.84, 0.82)))["reason"] == (
        "FD (fd_digits) 18.2 → 14.9: −18.0 % (95 % interval −22.8 % to −12.9 %, 3 seeds); "
        "at least 7.0 % lower and the interval excludes zero change."
    )


def test_direction_higher_swaps_better_and_worse_and_keeps_the_numbers():
    higher, up = fid_hypothesis(direction="higher"), rows_with((1.20, 1.24, 1.22))
    assert decide_one(up, higher)["outcome"] == "better"
    assert decide_one(up, higher)["relative_change"] == decide_one(up)["relative_change"] > 0
    assert decide_one(BETTER, higher)["outcome"] == "worse"
    assert decide_one(rows_with((1.0, 1.01, 0.99)), higher)["outcome"] == "neutral"


def rows_by(differences, base=2.0):
    """Rows of both arms, of one arm `base` + the seed's number, of the other that plus the difference."""
    pairs = [(seed, base + index) for index, seed in enumerate(SEEDS)]
    rows = [fd_row(arm=BASE, seed=seed, value=value) for seed, value in pairs]
    sums = zip(pairs, differences, strict=True)
    return rows + [fd_row(arm=MIN_SNR, seed=seed, value=value + more) for (seed, value), more in sums]


def kind(estimand, test, **limit):
    """E2.H1 with another estimand and test."""
    hypothesis = fid_hypothesis(estimand=estimand, test=test, **limit)
    needed = {"superiority": {"threshold"}, "noninferiority": {"margin"}, "bound": {"bound"}}[
        test
    ] | limit.keys()
    if estimand == "level":
        hypothesis |= {"comparator": None, "arm": MIN_SNR}
    return {key: value for key, value in hypothesis.items() if key in needed or key != "threshold"}


AT_MOST = {"direction": "lower", "margin": 0.5}
AROUND = {"bound": {"low": 2.5, "high": 4.0}}


@pytest.mark.parametrize(
    "hypothesis, differences, outcome, words",
    [
        (
            kind("difference", "superiority", threshold=0.5),
            (-0.61, -0.6, -0.62),
            "better",
            "3.00 → 2.39: −0.610 (95 % interval −0.635 to −0.585, 3 seeds); at least 0.500 lower and the "
            "interval excludes zero change.",
        ),
        (
            kind("difference", "superiority", threshold=0.5, direction="higher"),
            (-0.61, -0.6, -0.62),
            "worse",
            "at least 0.500 lower and the interval excludes zero change.",
        ),
        (
            kind("difference", "superiority", threshold=0.5),
            (0.01, 0, 0.02),
            "neutral",
            "the whole interval lies between −0.500 and +0.500.",
        ),
        (kind("difference", "superiority", threshold=0.5), (-0.4, -0.41, -0.42), "neutral", "and +0.500."),
        (
            kind("difference", "noninferiority", **AT_MOST),
            (0.4, 0.41, 0.42),
            "held",
            "+0.410 (95 % interval +0.385 to +0.435, 3 seeds); the whole interval lies within the margin "
            "(at most 0.5 higher).",
        ),
        (
            kind("difference", "noninferiority", **AT_MOST),
            (0.6, 0.61, 0.62),
            "failed",
            "the whole interval lies beyond the margin (at most 0.5 higher).",
        ),
        (
            kind("difference", "noninferiority", **AT_MOST | {"direction": "higher"}),
            (0.6, 0.61, 0.62),
            "held",
            "the whole interval lies within the margin (at most 0.5 lower).",
        ),
        (
            kind("difference", "noninferiority", **AT_MOST),
            (0.4, 0.5, 0.6),
            "inconclusive",
            "the interval reaches across an end of the margin (at most 0.5 higher).",
        ),
        (
            kind("difference", "bound", bound={"low": -0.1, "high": 0.5}),
            (0.2, 0.2, 0.2),
            "held",
            "the whole interval lies within the bound (−0.1 to 0.5).",
        ),
        (
            kind("level", "bound", bound={"low": 0, "high": 6}),
            (0, 0, 0),
            "held",
            "FD (fd_digits) 3.00 (95 % interval 0.516 to 5.48, 3 seeds); the whole interval lies within the "
            "bound (0 to 6).",
        ),
        (
            kind("level", "bound", **AROUND),
            (0, 0, 0),
            "inconclusive",
            "across an end of the bound (2.5 to 4).",
        ),
        (kind("level", "bound", **AROUND), (-9, -9, -9), "failed", "lies beyond the bound (2.5 to 4)."),
        (
            kind("ratio", "noninferiority", direction="lower", margin=0.5),
            (0.8, 1.25, 1.6),
            "held",
            "the whole interval lies within the margin (at most 50 % higher).",
        ),
        (
            kind("ratio", "noninferiority", direction="higher", margin=0.3),
            (-0.8, -1.2, -1.6),
            "failed",
            "the whole interval lies beyond the margin (at most 30 % lower).",
        ),
        (
            kind("ratio", "bound", bound={"low": -0.5, "high": 0.5}),
            (0.8, 1.25, 1.6),
            "held",
            "the whole interval lies within the bound (−50 % to 50 %).",
        ),
    ],
)
def test_every_estimand_and_test_with_its_sentence(hypothesis, differences, outcome, words):
    result = decide_one(rows_by(differences), hypothesis)
    assert result["outcome"] == outcome
    assert result["reason"].endswith(words)


def test_numbers_of_differences_and_levels_are_students_t_in_the_metrics_unit():
    rows, differences = rows_by((0.4, 0.1, 0.3)), np.array([0.4, 0.1, 0.3])
    difference = decide_one(rows, kind("difference", "superiority", threshold=0.5))
    level = decide_one(rows, kind("level", "bound", bound={"low": 0, "high": 6}))
    for result, values, name, sd in (
        (difference, differences, "difference", "sd_of_paired_difference"),
        (level, np.add(differences, [2, 3, 4]), "level", "sd_of_level"),
    ):
        expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
        assert result["interval"] == pytest.approx([expected.low, expected.high], rel=1e-9)
        assert result[name] == pytest.approx(values.mean(), rel=1e-9)
        assert [seed[name] for seed in result["seeds"]] == pytest.approx(list(values), rel=1e-9)
        assert result["error_rates"][sd] == pytest.approx(values.std(ddof=1), rel=1e-9)
        assert "relative_change" not in result
    assert {"arm_value"} == level["seeds"][0].keys() - {"seed", "level"}


@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize("differences", [(-0.61, -0.6, -0.62), (0.5, 0.5, 0.5), (0.4, 0.5, 0.6)])
@pytest.mark.parametrize("test, key", [("superiority", "threshold"), ("noninferiority", "margin")])
def test_a_difference_is_decided_alike_in_any_unit(test, key, differences, scale):
    rows = rows_by(differences)
    expected = decide_one(rows, kind("difference", test, **{key: 0.5}))["outcome"]
    rows = [row | {"value": row["value"] * scale} for row in rows]
    assert decide_one(rows, kind("difference", test, **{key: 0.5 * scale}))["outcome"] == expected


def test_a_level_needs_its_own_arm_only():
    level = kind("level", "bound", bound={"low": 0, "high": 6})
    own = [row for row in rows_by((0, 0, 0)) if row["arm"] == MIN_SNR]
    assert decide_one(own, level, arms={MIN_SNR: list(SEEDS)})["outcome"] == "held"
    assert decide_one([], level, arms={BASE: list(SEEDS)})["outcome"] == "not_run"
    assert "was measured for 1 of 3 seeds" in decide_one(own[:1], level)["reason"]


def test_a_combination_stands_for_its_parts_and_takes_no_share_of_the_error():
    parts = [
        fid_hypothesis(),
        kind("difference", "noninferiority", **AT_MOST | {"margin": 5}) | {"id": "E2.H2"},
    ]
    both = {"id": "E2.H3", "statement": "Both.", "role": "confirmatory", "experiment": "E2"}
    verdict = decide([*parts, both | {"all_of": ["E2.H1", "E2.H2"]}], BETTER, ANALYSIS, context())
    assert [item["outcome"] for item in verdict["hypotheses"]] == ["better", "held", "held"]
    assert verdict["hypotheses"][2]["reason"] == "E2.H1 is better and E2.H2 held."
    assert verdict["outcome"] == "held"
    assert verdict["reason"].startswith("E2.H3 held; a rehearsal")
    assert verdict["confidence_used"]["confirmatory"] == pytest.approx(0.975)
    assert verdict["families"][0]["hypotheses"] == ["E2.H1", "E2.H2"]
    assert verdict["families"][0]["num_simulated"] == 2
    exploratory = both | {"role": "exploratory", "any_of": ["E2.H1", "E2.H2"]}
    assert decide([*parts, exploratory], BETTER, ANALYSIS, context())["outcome"] == "better"


def test_a_missing_seed_is_named_and_the_rest_decides():
    result = decide_one([row for row in BETTER if (row["arm"], row["seed"]) != (MIN_SNR, 1079)])
    assert result["missing_seeds"] == [1079]
    assert [seed["seed"] for seed in result["seeds"]] == [1077, 1078]
    assert "2 of 3 seeds, missing 1079" in result["reason"]


@pytest.mark.parametrize("num_seeds", [0, 1])
def test_fewer_than_two_paired_seeds_decide_nothing(num_seeds):
    result = decide_one(BETTER[: 2 * num_seeds])
    assert result["outcome"] == "inconclusive"
    assert result["relative_change"] is result["interval"] is result["error_rates"] is None
    assert len(result["seeds"]) == num_seeds
    assert f"for {num_seeds} of 3 seeds, missing " in result["reason"]
    assert "needs at least 2" in result["reason"]


@pytest.mark.parametrize("value", [0.0, -3.0])
@pytest.mark.parametrize("arm", [BASE, MIN_SNR])
def test_a_value_that_has_no_logarithm_decides_nothing_and_is_still_reported(arm, value):
    rows = rows_with((0.8, 0.8, 0.8), trace_row)
    rows = [row | {"value": value} if (row["arm"], row["seed"]) == (arm, 1078) else row for row in rows]
    result = decide_one(rows, trace_hypothesis())
    assert result["outcome"] == "inconclusive"
    assert "Hessian trace is not positive for seed 1078" in result["reason"]
    assert value in (result["seeds"][1]["arm_value"], result["seeds"][1]["comparator_value"])
    assert [seed["relative_change"] is None for seed in result["seeds"]] == [False, True, False]


@pytest.mark.parametrize("arms", [[BASE], [MIN_SNR], []])
def test_an_arm_or_comparator_that_the_preset_leaves_out_is_not_run(arms):
    result = decide_one([row for row in BETTER if row["arm"] in arms], arms=dict.fromkeys(arms, SEEDS))
    assert result["outcome"] == "not_run"
    assert result["reason"].startswith("Preset digits does not run E")
    assert result["seeds"] == []


def test_a_rehearsal_lists_what_it_substitutes():
    result = decide_one(BETTER)
    assert result["substitutions"] == [
        {"field": "metric", "preregistered": "fid", "used": "fd_digits"},
        {"field": "num_samples", "preregistered": 10000, "used": 1500},
    ]
    assert result["metric"]["name"] == "fid"
    point = {"point": "ddpm_nfe0050", "comparator_point": "ddpm_nfe0050", "sampler": "ddpm", "nfe": 50}
    used = {"metric": "fd_digits", **point, "num_samples": 1500, "weights": "ema", "step": 2000}
    used |= {"objective": None, "num_probes": None, "extractor": "fd_digits", "guidance_scale": None}
    assert result["metric_used"] == used
    rows = rows_with((0.8, 0.81, 0.8), trace_row, num_probes=32)
    trace = decide_one(rows, trace_hypothesis(), num_probes=32)
    assert trace["substitutions"] == [{"field": "num_probes", "preregistered": 16, "used": 32}]
    used = {name: trace["metric_used"][name] for name in ("metric", "num_probes", "sampler", "extractor")}
    assert used == {"metric": "hessian_trace", "num_probes": 32, "sampler": None, "extractor": None}


def test_the_preregistered_preset_substitutes_nothing():
    own = {"preset": "cifar10", "metric": "fid", "extractor": "fid", "num_samples": 10000, "step": 50000}
    result = decide_one(rows_with((0.8, 0.81, 0.8), **own), **CIFAR10)
    assert result["substitutions"] == []
    assert result["outcome"] == "better"
    assert result["reason"].startswith("FID 18.2 → 14.6: −19.7 %")
    with pytest.raises(PipelineError, match="has num_samples 5000 where hypothesis E2.H1 preregisters 10000"):
        decide_one([], **CIFAR10 | {"num_samples": 5000})


def with_one_changed(rows, which, **changes):
    return [changed(row, **changes) if number == which else row for number, row in enumerate(rows)]


@pytest.mark.parametrize("changes", [{"reference_sha256": "0"}, {"extractor_sha256": "0"}, {"eta": 0.5}])
@pytest.mark.parametrize("which", [0, 3])
def test_unlike_rows_are_never_compared_neither_in_a_pair_nor_between_pairs(which, changes):
    with pytest.raises(PipelineError, match=f"differ in {next(iter(changes))}"):
        decide_one(with_one_changed(BETTER, which, **changes))


def test_another_sample_count_is_refused_rather_than_missing():
    message = "of E2_minsnr_linear seed 1077 has num_samples 500 where 1500 is needed"
    with pytest.raises(PipelineError, match=message):
        decide_one(with_one_changed(BETTER, 1, num_samples=500))


@pytest.mark.parametrize("changes", [{"step": 1000}, {"point": "ddim_nfe0050"}, {"weights": "last"}])
def test_rows_of_another_name_do_not_stand_in(changes):
    decoys = [changed(row, **changes) for row in rows_with((2.0, 2.0, 2.0))]
    assert decide_one(decoys)["seeds"] == []
    assert decide_one(BETTER + decoys) == decide_one(BETTER)


def test_a_hypothesis_may_name_another_point_for_the_comparator():
    """DDIM with 10 calls against DDPM with 50; what the images are judged against must still be equal."""
    fast = [changed(row, point="ddim_nfe0010", sampler="ddim", eta=0.0, nfe=10) for row in BETTER]
    metric = {"name": "fid", "ema": True, "step": "final", "point": "ddim_nfe0010"}
    hypothesis = fid_hypothesis(metric={**metric, "comparator_point": "ddpm_nfe0050"}, role="exploratory")
    own = {"sampler": "ddim", "eta": 0.0, "nfe": 10, "num_samples": 1500}
    points = {**context()["points"], "ddim_nfe0010": own}
    assert decide_one(fast + BETTER, hypothesis, points=points)["outcome"] == "better"
    judged_otherwise = [changed(row, reference_sha256="0") for row in fast]
    with pytest.raises(PipelineError, match="differ in reference_sha256"):
        decide_one(judged_otherwise + BETTER, hypothesis, points=points)


def test_curvature_of_the_runs_own_loss_does_not_stand_in():
    own = rows_with((0.5, 0.5, 0.5), trace_row, objective="own")
    result = decide_one(own + rows_with((1.0, 1.01, 0.99), trace_row), trace_hypothesis())
    assert result["outcome"] == "neutral"


@pytest.mark.parametrize("changes", [{"study": "MS2"}, {"preset": "smoke"}, {"arm": "E9_other"}, {"seed": 1}])
def test_rows_from_elsewhere_are_refused(changes):
    with pytest.raises(PipelineError, match=f"row with {next(iter(changes))} "):
        decide_one([*BETTER, BETTER[0] | changes])


def test_bonferroni_counts_confirmatory_hypotheses_per_experiment_run_or_not():
    hypotheses = [
        fid_hypothesis(),
        trace_hypothesis(arm="E2_other"),
        fid_hypothesis(id="E3.H1", experiment="E3"),
        fid_hypothesis(id="E3.H2", experiment="E3", role="exploratory"),
    ]
    verdict = decide(hypotheses, BETTER, ANALYSIS, context())
    confidences = [result["confidence"] for result in verdict["hypotheses"]]
    assert confidences == pytest.approx([0.975, 0.975, 0.95, 0.95])
    assert verdict["confidence_used"] == {"confirmatory": pytest.approx(0.975), "exploratory": 0.95}
    assert verdict["hypotheses"][1]["outcome"] == "not_run"


def test_exploratory_hypotheses_do_not_move_the_study():
    hypotheses = [fid_hypothesis(), trace_hypothesis(role="exploratory")]
    rows = BETTER + rows_with((2.0, 2.01, 2.0), trace_row)
    verdict = decide(hypotheses, rows, ANALYSIS, context())
    assert [result["outcome"] for result in verdict["hypotheses"]] == ["better", "worse"]
    assert verdict["outcome"] == "better"
    assert verdict["reason"] == "E2.H1 is better; a rehearsal on preset digits, not the preregistered test."
    assert decide(hypotheses[1:], rows, ANALYSIS, context())["outcome"] == "inconclusive"


def test_the_familys_error_rate_is_within_5_percent_and_only_of_what_was_decided():
    third = fid_hypothesis(id="E3.H1", experiment="E3", arm="E3_other")
    rows = rows_with((0.5, 1.5, 0.8)) + rows_with((3.0, 0.4, 1.0), trace_row)
    families = decide([fid_hypothesis(), trace_hypothesis(), third], rows, ANALYSIS, context())["families"]
    assert [(family["experiment"], family["num_simulated"]) for family in families] == [("E2", 2), ("E3", 0)]
    # spreads this wide make every verdict hang on the interval, so the rate is near 1 - 0.975², and 3
    # standard errors of 20,000 simulations are 0.0046
    for entry in families[0]["by_num_seeds"]:
        assert entry["false_verdicts"] == pytest.approx(1 - 0.975**2, abs=0.008)
        assert entry["false_verdicts"] <= 0.05 + 0.0046
    assert families[1]["by_num_seeds"] == []


def test_extreme_values_still_give_valid_json():
    result = decide_one(rows_with((1e-300, 1e250, 1.0)))
    assert result["outcome"] == "inconclusive"
    assert json.loads(canonical_json(result)) == result


def run_step(folder, rows, **changes):
    write_json_lines(folder / "results.jsonl", rows)
    hypotheses = [fid_hypothesis(), trace_hypothesis()]
    settings = {"hypotheses": hypotheses, "analysis": ANALYSIS, "context": context(**changes)}
    inputs, outputs = {"results": [folder / "results.jsonl"]}, {"verdict": [folder / "verdict.json"]}
    decide_verdict.main(Step("decide_verdict", settings, inputs, outputs))
    return (folder / "verdict.json").read_bytes()


def test_the_entry_point_writes_the_verdict_with_the_results_hash(tmp_path):
    rows = BETTER + rows_with((1.0, 1.01, 0.99), trace_row)
    written = run_step(tmp_path, rows)
    verdict = json.loads(written)
    assert verdict["outcome"] == "better"
    assert verdict["results_sha256"] == sha256_file(tmp_path / "results.jsonl")
    assert [result["outcome"] for result in verdict["hypotheses"]] == ["better", "neutral"]
    assert run_step(tmp_path, rows) == written


def test_the_entry_point_refuses_rows_of_another_preset_and_writes_nothing(tmp_path):
    with pytest.raises(PipelineError, match="preset 'digits', but study MS1_min_snr, preset smoke"):
        run_step(tmp_path, BETTER, preset="smoke")
    assert not (tmp_path / "verdict.json").exists()


def test_a_hypothesis_is_about_the_seeds_that_both_its_arms_have():
    """Exploratory arms may have fewer, and the arms of a hypothesis more."""
    arms = {BASE: [*SEEDS, 9], MIN_SNR: list(SEEDS[:2])}
    rows = [row for row in rows_with((0.8, 0.8, 0.8)) if row["seed"] in arms[row["arm"]]]
    result = decide_one(rows, arms=arms)
    assert [seed["seed"] for seed in result["seeds"]] == list(SEEDS[:2]) and result["missing_seeds"] == []
    with pytest.raises(PipelineError, match=f"a row with seed {SEEDS[2]}"):
        decide_one(rows_with((0.8, 0.8, 0.8)), arms=arms)


def test_the_one_value_of_an_arm_without_training_is_paired_with_every_seed():
    once = {"eta": None, "nfe": 1, "num_samples": 1500}
    points = {name: {"sampler": name, **once} for name in ("ddim", "direct")}
    metric = {"name": "psnr", "ema": True, "step": "final", "point": "ddim", "comparator_point": "direct"}
    alone = fd_row(metric="psnr", seed=0, value=20.0, step=0, weights=None, checkpoint_sha256=None)
    rows = [changed(alone, sampler="direct", nfe=1, point="direct")]
    rows += [
        fd_row(metric="psnr", arm=MIN_SNR, seed=seed, value=value, sampler="ddim", nfe=1, point="ddim")
        for seed, value in zip(SEEDS, (24.0, 25.0, 26.0))
    ]
    hypothesis = fid_hypothesis(metric=metric, direction="higher")
    own = {"points": points, "untrained": [BASE], "arms": {BASE: [0], MIN_SNR: list(SEEDS)}}
    (decided,) = decide([hypothesis], rows, ANALYSIS, context(**own))["hypotheses"]
    assert [seed["seed"] for seed in decided["seeds"]] == list(SEEDS) and decided["missing_seeds"] == []
    assert [seed["relative_change"] for seed in decided["seeds"]] == pytest.approx([0.2, 0.25, 0.3])
    assert decided["outcome"] == "better"
    with pytest.raises(PipelineError, match="a row with seed 0, but"):
        decide([hypothesis], rows, ANALYSIS, context(points=points))


def test_arms_that_train_for_other_numbers_of_steps_are_compared_at_their_own_last_ones():
    rows = rows_with((0.8, 0.8, 0.8))
    step = rows[0]["from"]["step"]
    longer = [changed(row, step=3 * step) if row["arm"] == MIN_SNR else row for row in rows]
    earlier = [changed(row, value=9.0) for row in rows if row["arm"] == MIN_SNR]
    decided = decide_one([*longer, *earlier], final_steps={MIN_SNR: 3 * step})
    assert [seed["relative_change"] for seed in decided["seeds"]] == pytest.approx([-0.2] * 3)
    assert decide_one(longer)["missing_seeds"] == list(SEEDS)
