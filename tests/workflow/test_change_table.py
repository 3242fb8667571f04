"""The table of changes, each with exactly the jobs that Snakemake plans on a finished smoke run."""

import os
import random
import re
import shutil
import subprocess
import time

import pytest

from tests.workflow.projects import SMOKE, run_module, snakemake
from workflow_scripts.provenance.planned_jobs import dry_run, planned_jobs

RESULTS, REPORT = "results/MS1_min_snr/smoke", "reports/MS1_min_snr/smoke"
E1, E2, E3 = "E1_baseline_linear", "E2_minsnr_linear", "E3_baseline_cosine"
SEEDS = ("1077", "1078")
POINTS = ("ddpm_nfe0010", "ddpm_nfe0050", "ddim_nfe0010")
STEPS = ("0000020", "0000040")
METRICS = ("frechet_distance", "kernel_distance", "precision_recall")
FIGURES = (
    "hypotheses",
    "frechet_vs_nfe",
    "sample_grid",
    "curvature_vs_step",
    "curvature_vs_frechet",
    "snr_and_weights",
    "training_curves",
    "timestep_mse",
)


def per_run(rule, runs):
    return {f"{rule} {arm} {seed}" for arm, seed in runs}


def per_sample(rule, runs, points=POINTS):
    return {f"{rule} {arm} {seed} {point}" for arm, seed in runs for point in points}


def figures(*names):
    return {f"draw_{name}" for name in names}


RUNS = [(arm, seed) for arm in (E1, E2) for seed in SEEDS]
E2_RUNS = [run for run in RUNS if run[0] == E2]
E3_RUNS = [(E3, seed) for seed in SEEDS]
NEW_SEED = [(arm, "1079") for arm in (E1, E2)]
MAIN = POINTS[1:2]
NOTEBOOKS = {"render_notebook 01_results", "render_notebook 02_training"}
PAGE = {"collect_costs", "build_report"}
WORDS = {"write_summary"} | PAGE
FROM_RESULTS = figures("hypotheses", "frechet_vs_nfe", "curvature_vs_step", "curvature_vs_frechet")
AFTER_COLLECTING = {"collect_study", "decide_verdict", "estimate_power"} | FROM_RESULTS | NOTEBOOKS | WORDS
# whatever names the arms, seeds or settings in words
RENDERED = figures(*FIGURES) | NOTEBOOKS | WORDS
GATE = {"check_preregistration"}


def from_metrics(runs, metrics=METRICS):
    measured = {job for metric in metrics for job in per_run(f"measure_{metric}", runs)}
    return measured | per_run("collect_run", runs) | AFTER_COLLECTING


def from_features(runs, points=POINTS):
    main = [point for point in points if point in MAIN]
    return (
        per_sample("extract_features", runs, points)
        | per_sample("measure_finite_sample", runs, main)
        | from_metrics(runs)
    )


def from_samples(runs, points=POINTS):
    return per_sample("sample_images", runs, points) | from_features(runs, points)


def from_training(runs):
    probes = {f"probe_checkpoint {arm} {seed} {step}" for arm, seed in runs for step in STEPS}
    return (
        per_run("train_model", runs)
        | probes
        | from_samples(runs)
        | figures("training_curves", "timestep_mse", "sample_grid")
    )


def jobs(project, *config):
    """The planned jobs as `rule wildcards…`."""
    planned = planned_jobs(project, ["preset=smoke", *config])
    names = [" ".join([job.rule, *job.wildcards.values()]) for job in planned]
    assert len(names) == len(set(names))
    return set(names)


def edit(project, path, old, new):
    text = (project / path).read_text(encoding="utf-8")
    assert old in text, f"{path} no longer holds {old!r}"
    (project / path).write_text(text.replace(old, new, 1), encoding="utf-8")


def plan(project):
    return run_module(project, "workflow_scripts.tools.plan", "--config", "preset=smoke", "--cores", "2")


SAMPLE = "workflow_scripts/sampling/sample.py"
ARM = f"config/study/MS1_min_snr/{E2}.yaml"

# name: (path, old, new, the jobs it plans)
EDITS = {
    "the sampler": (SAMPLE, "x_T", "x_start_noise", from_samples(RUNS) | figures("sample_grid")),
    "the Fréchet distance": (
        "workflow_scripts/metrics/frechet.py",
        "def ",
        "def unused() -> None:\n    return None\n\n\ndef ",
        {"compute_reference"} | per_sample("measure_finite_sample", RUNS, MAIN) | from_metrics(RUNS),
    ),
    "one metric": (
        "workflow_scripts/metrics/measures/precision_recall.py",
        "def ",
        "UNUSED = 1\n\n\ndef ",
        from_metrics(RUNS, ["precision_recall"]),
    ),
    # sampling imports no method, so that its code may change without new samples
    "the method": (
        "workflow_scripts/methods/diffusion.py",
        "unknown = ",
        "not_known = unknown = ",
        from_training(RUNS),
    ),
    "a plot": (
        "workflow_scripts/report/figures/training_curves.py",
        "def draw(",
        "UNUSED = 1\n\n\ndef draw(",
        {"draw_training_curves", "render_notebook 02_training"} | PAGE,
    ),
    # sample_images imports sampling/sample.py, which imports sampling/respacing.py
    "a helper two levels down": (
        "workflow_scripts/sampling/respacing.py",
        "def ",
        "def unused() -> None:\n    return None\n\n\ndef ",
        from_samples(RUNS) | figures("sample_grid"),
    ),
    "one weighting": (
        "workflow_scripts/diffusion/weightings/min_snr.py",
        "gamma), snr",
        "2 * gamma), snr",
        from_training(E2_RUNS) | figures("snr_and_weights"),
    ),
    # used by both arms; sampling and curvature load it too
    "the network": ("workflow_scripts/nets/unet.py", "4 * base", "3 * base", from_training(RUNS)),
    "a comment": (SAMPLE, "from __future__", "# A remark.\nfrom __future__", set()),
    "a docstring": (SAMPLE, '"""', '"""In other words: ', set()),
    "an unrelated key": (SMOKE, "title: ", "title: New ", RENDERED),
    "one arm's γ": (
        ARM,
        "min_snr_gamma: 5.0",
        "min_snr_gamma: 1.0",
        GATE | from_training(E2_RUNS) | RENDERED,
    ),
    "another arm": (
        SMOKE,
        f"arms: [{E1}, {E2}]",
        f"arms: [{E1}, {E2}, {E3}]",
        GATE | from_training(E3_RUNS) | RENDERED,
    ),
    "the distance by step": (
        SMOKE,
        "title: Smoke",
        "title: Smoke\nby_step: [ddpm_nfe0010]\n"
        "metrics: [frechet_distance, kernel_distance, precision_recall, curvature, frechet_by_step]",
        GATE
        | per_run("judge_checkpoints", RUNS)
        | per_run("collect_run", RUNS)
        | AFTER_COLLECTING
        | RENDERED
        | {"draw_frechet_vs_step"},
    ),
    "another seed": (
        SMOKE,
        "seeds: [1077, 1078]",
        "seeds: [1077, 1078, 1079]",
        from_training(NEW_SEED) | RENDERED,
    ),
    "another NFE": (
        SMOKE,
        "nfe: [10, 50]",
        "nfe: [10, 20, 50]",
        GATE | from_samples(RUNS, ("ddpm_nfe0020",)) | RENDERED,
    ),
    "two values swapped": (
        SMOKE,
        "extractor:\n  num_steps: 600",
        "extractor:\n  batch_size: 600\n  num_steps: 64",
        GATE | {"train_extractor", "compute_reference"} | from_features(RUNS) | RENDERED,
    ),
    "a threshold in the preregistration": (
        "docs/experiments/E2_pre_reg.md",
        "threshold: 0.07",
        "threshold: 0.05",
        GATE
        | {"decide_verdict", "estimate_power", "draw_hypotheses", "draw_frechet_vs_nfe"}
        | NOTEBOOKS
        | WORDS,
    ),
}


@pytest.mark.parametrize("change", EDITS)
def test_an_edit_plans_exactly_these_jobs(finished, change):
    path, old, new, expected = EDITS[change]
    edit(finished, path, old, new)
    assert jobs(finished) == expected


NETWORK = """from torch import nn


class Flat(nn.Module):
    def __init__(self, channels, image_size, width, depth=1):
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 2 * width + 1, padding=width)

    def forward(self, x, t):
        return self.layer(x)
"""


def test_a_new_network_plans_nothing_until_an_arm_uses_it(finished):
    """The keys that the preset gives for its own network are left out; others are checked before any job."""
    built_in = finished / "workflow_scripts/nets/networks/flat.py"
    built_in.write_text(NETWORK)
    (finished / "mine").mkdir()
    shutil.copy(built_in, finished / "mine/nets.py")
    assert jobs(finished) == set()
    edit(finished, ARM, "loss:", "model: {name: mine.nets:Flat, width: 1}\nloss:")
    planned = jobs(finished)
    assert GATE | from_training(E2_RUNS) <= planned <= GATE | from_training(E2_RUNS) | RENDERED
    edit(finished, ARM, "width: 1", "widht: 1")
    said = plan(finished)
    assert f"{ARM}: model.widht is not a parameter of mine.nets:Flat, which takes width, depth" in said.stderr
    assert said.returncode == 1 and len(said.stderr.splitlines()) == 1
    edit(finished, ARM, "model: {name: mine.nets:Flat, widht: 1}\n", "")  # the lock holds an arm's network
    edit(finished, SMOKE, "attention_resolutions: [4]", "name: mine.nets:Flat\n  width: 1")
    ddim = f"{RESULTS}/runs/{E2}/seed1077/samples/ddim_nfe0010.npz"
    done = snakemake(finished, ddim)
    assert done.returncode == 0 and "train_model" in done.stderr, done.stderr


def test_a_new_weighting_plans_nothing_until_an_arm_uses_it(finished):
    """A built-in one is a file; a user's own is any module of the project, and its source counts."""
    built_in = finished / "workflow_scripts/diffusion/weightings/half.py"
    built_in.write_text("def half(snr, prediction_type):\n    return snr * 0 + 0.5\n")
    (finished / "mine").mkdir()
    shutil.copy(built_in, finished / "mine/losses.py")
    assert jobs(finished) == set()
    edit(finished, ARM, "weighting: min_snr\n  min_snr_gamma: 5.0", "weighting: mine.losses:half")
    assert jobs(finished) == GATE | from_training(E2_RUNS) | RENDERED
    edit(finished, "mine/losses.py", "half(snr", "another(snr")
    said = plan(finished)
    assert said.returncode == 1 and "mine.losses defines no half that can be called" in said.stderr


UPGRADES = {
    "matplotlib": figures(*FIGURES) | NOTEBOOKS | PAGE,
    "jinja2": NOTEBOOKS | WORDS,
    # scikit-learn, which the digits come with, computes with it; what follows new data follows altogether
    "scipy": {"prepare_data", "train_extractor", "compute_reference"} | from_training(RUNS) | RENDERED,
    "filelock": set(),  # torch requires it, and it changes no number
}


@pytest.mark.parametrize("name", UPGRADES)
def test_an_upgraded_package_runs_what_computes_with_it(finished, tmp_path, monkeypatch, name):
    """Another version is found before the installed one; nothing of the project has changed."""
    (tmp_path / "site" / f"{name}-99.0.0.dist-info").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    assert jobs(finished) == UPGRADES[name]


def test_the_plan_names_the_upgraded_package_and_that_the_lock_says_another(finished):
    (finished / "site" / "matplotlib-99.0.0.dist-info").mkdir(parents=True)
    said = run_module(
        finished, "workflow_scripts.tools.plan", "--config", "preset=smoke", search=finished / "site"
    )
    assert "because matplotlib " in said.stdout and " → 99.0.0" in said.stdout and said.returncode == 0
    assert "warning: matplotlib 99.0.0 is installed, envs/requirements.lock says " in said.stderr


def test_every_computed_file_is_asked_for_so_that_a_deleted_one_is_made_again(smoke_run):
    jobs = dry_run(smoke_run[0], ["preset=smoke"], "--forceall")
    (target,) = [job for job in jobs if job["rule"] == "all"]
    assert set(target["input"]) == {path for job in jobs for path in job["output"]}


def test_a_changed_threshold_is_refused_before_anything_runs(finished):
    path, old, new, _ = EDITS["a threshold in the preregistration"]
    edit(finished, path, old, new)
    verdict = (finished / RESULTS / "verdict.json").stat().st_mtime_ns
    for said in (plan(finished), snakemake(finished)):
        assert (
            said.returncode != 0 and "error: preregistration docs/experiments/E2_pre_reg.md" in said.stderr
        ), said.stderr
    assert (finished / RESULTS / "verdict.json").stat().st_mtime_ns == verdict


def test_an_update_makes_a_deleted_sample_file_again_and_nothing_after_it(finished):
    path = f"{RESULTS}/runs/{E2}/seed1078/samples/ddim_nfe0010.npz"
    before = (finished / path).read_bytes()
    (finished / path).unlink()
    planned = from_samples([(E2, "1078")], POINTS[2:])  # the report's grid shows another
    assert jobs(finished) == planned
    said = plan(finished).stdout
    # how long it took depends on what else the machine did
    about = f"arm {E2}; seed 1078; point ddim_nfe0010"
    expected = rf"1 × sample_images, about \d+ s: {about}, because missing: {re.escape(path)}"
    assert re.search(expected, said), said
    times = {
        other: other.stat().st_mtime_ns
        for other in finished.glob(f"{RESULTS}/**/*.json*")
        if "ddim_nfe0010.npz" not in other.name
    }
    done = run_module(finished, "workflow_scripts.tools.update", "--config", "preset=smoke")
    assert done.returncode == 0, done.stderr
    assert f"round 1: 1 of {len(planned)} planned jobs" in done.stdout
    assert "round 2" not in done.stdout and "nothing left to do" in done.stdout
    assert (finished / path).read_bytes() == before
    assert {other: other.stat().st_mtime_ns for other in times} == times


def test_only_manifests_are_believed(finished):
    """Not .snakemake, which a copy may lack, nor times, nor a user's choice of triggers."""
    shutil.rmtree(finished / ".snakemake")
    moments = random.Random(1)
    for path in finished.rglob("*"):
        os.utime(path, (0, time.time() - moments.uniform(0, 1e6)))
    assert jobs(finished) == set()
    assert plan(finished).stdout == "MS1_min_snr, preset smoke: nothing to do\n"
    edit(finished, SMOKE, "ema_decay: 0.9", "ema_decay: 0.91")
    planned = jobs(finished)
    assert GATE | from_training(RUNS) <= planned <= GATE | from_training(RUNS) | RENDERED
    by_time = planned_jobs(finished, ["preset=smoke"], "--rerun-triggers", "mtime")
    assert {" ".join([job.rule, *job.wildcards.values()]) for job in by_time} == planned


def test_a_fresh_checkout_at_another_place_plans_nothing(finished, tmp_path):
    """The project's files are new, from git; results and report are copied."""

    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=e", *arguments],
            cwd=finished,
            check=True,
            capture_output=True,
        )

    (finished / ".gitignore").write_text("/results\n/reports/MS1_min_snr\n/.snakemake\n")
    for arguments in (
        ("init",),
        ("add", "."),
        ("commit", "-m", "all"),
        ("clone", ".", str(tmp_path / "elsewhere" / "clone")),
    ):
        git(*arguments)
    clone = tmp_path / "elsewhere" / "clone"
    for computed in ("results", REPORT):
        shutil.copytree(finished / computed, clone / computed, copy_function=shutil.copy2)
    shutil.rmtree(finished)
    assert jobs(clone) == set()


def test_an_output_edited_by_hand_is_detected_by_the_plan_and_stops_the_run(finished):
    verdict, page = f"{RESULTS}/verdict.json", finished / REPORT / "report.html"
    before = (finished / verdict).read_text()
    with open(page, "a") as end:
        end.write("<p>better</p>")
    said = plan(finished)  # nothing reads the page, so only the plan says it
    assert "nothing to do" in said.stdout and said.returncode == 1
    assert f"error: {REPORT}/report.html is not what its step wrote" in said.stderr
    edited = before.replace("inconclusive", "conclusive!!", 1)
    assert len(edited) == len(before) and edited != before
    (finished / verdict).write_text(edited)
    shown = page.read_bytes()
    for said in (plan(finished), snakemake(finished)):
        assert said.returncode == 1 and "delete it" in said.stderr
        assert f"error: {verdict} is not what its step wrote" in said.stderr
    assert page.read_bytes() == shown
    (finished / verdict).unlink()
    decided = {"decide_verdict", "estimate_power", "draw_hypotheses", "draw_frechet_vs_nfe"}
    assert jobs(finished) == decided | NOTEBOOKS | WORDS


def test_the_plan_names_key_module_and_cost_and_that_the_gate_is_closed(finished):
    edit(finished, ARM, "min_snr_gamma: 5.0", "min_snr_gamma: 1.0")
    edit(finished, SAMPLE, "x_T", "x_start_noise")
    said = plan(finished)
    run = rf"^  2 × train_model, about \d+ s: arm {E2}; seed 1077, 1078, because loss.min_snr_gamma 5 → 1$"
    assert re.search(run, said.stdout, flags=re.MULTILINE), said.stdout
    assert re.search(rf"× sample_images, .*because changed: {SAMPLE}", said.stdout), said.stdout
    assert said.returncode == 1 and "loss.min_snr_gamma has drifted from the lock" in said.stderr
    # without manifests the plan says less, and nothing wrong
    for path in finished.rglob("*.manifest.json"):
        path.unlink()
    said = plan(finished).stdout
    assert "because its manifest is gone" in said
    assert "sample.py" not in said and "duration unknown" in said


def test_a_misspelt_preset_is_one_line(project):
    said = run_module(project, "workflow_scripts.tools.plan", "--config", "preset=smok")
    assert said.returncode == 1 and said.stderr.startswith("error: ") and len(said.stderr.splitlines()) == 1
