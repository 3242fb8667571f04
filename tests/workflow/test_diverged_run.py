"""A run that diverges is a finding: the study ends and says so, and a fix reruns its arm only."""

import json

import numpy as np
import pytest

from tests.workflow.projects import edit, run_module, said, snakemake
from workflow_scripts.core.randomness import stream
from workflow_scripts.provenance.planned_jobs import planned_jobs
from workflow_scripts.study.results import read_rows

pytestmark = pytest.mark.slow
RESULTS, REPORT = "results/MS1_min_snr/smoke", "reports/MS1_min_snr/smoke"
ARM = "E2_minsnr_linear"
DIVERGES, GOES_ON = 1077, 1078
# One's own loss weighting, whose weight at one timestep is too large for float32.
SPIKE = """import numpy as np


def spike(snr, prediction_type):
    return np.where(np.arange(len(snr)) == {t}, 1e300, 1.0)
"""


def timestep_that_only_one_seed_draws() -> tuple[int, int]:
    """A timestep that one seed meets after its first checkpoint and the other never; with the update."""
    drawn = {
        seed: [stream(seed, "timesteps", step).integers(0, 1000, size=32) for step in range(40)]
        for seed in (DIVERGES, GOES_ON)
    }
    met_before = np.concatenate([*drawn[DIVERGES][:20], *drawn[GOES_ON]])
    for step in range(20, 40):
        for t in drawn[DIVERGES][step]:
            if t not in met_before:
                return int(t), step + 1
    raise AssertionError("no such timestep")


def amend(project, reason):
    arguments = ("amend", "--reason", reason, "--results-seen", "no")
    amended = run_module(project, "workflow_scripts.tools.lock", *arguments)
    assert amended.returncode == 0, amended.stderr


def test_one_seed_of_one_arm_diverges_and_the_study_says_so(project):
    t, step = timestep_that_only_one_seed_draws()
    (project / "mine").mkdir()
    (project / "mine/losses.py").write_text(SPIKE.format(t=t))
    arm = project / f"config/study/MS1_min_snr/{ARM}.yaml"
    edit(arm, "weighting: min_snr\n  min_snr_gamma: 5.0", "weighting: mine.losses:spike")
    amend(project, "a spike")
    done = snakemake(project)
    assert done.returncode == 0, said(done)

    run = project / RESULTS / "runs" / ARM / f"seed{DIVERGES}"
    assert json.loads((run / "status.json").read_text()) == {"diverged_at": step}
    rows = [row for row in read_rows(project / RESULTS / "results.jsonl") if row["arm"] == ARM]
    measured = {(row["metric"], row["from"]["step"]) for row in rows if row["seed"] == DIVERGES}
    # as far as it got: the first checkpoint is probed, and there are no images
    assert {("hessian_trace", 20), ("diverged", step)} <= measured and ("fd_digits", 40) not in measured
    assert {"fd_digits", "hessian_trace"} <= {row["metric"] for row in rows if row["seed"] == GOES_ON}

    verdict = json.loads((project / RESULTS / "verdict.json").read_text())
    (h1,) = [item for item in verdict["hypotheses"] if item["id"] == "E2.H1"]
    assert h1["missing_seeds"] == [DIVERGES] and [seed["seed"] for seed in h1["seeds"]] == [GOES_ON]
    words = f"{ARM} seed {DIVERGES} diverged at step {step}"
    assert h1["outcome"] == "inconclusive" and words in h1["reason"]
    sentence = f"seed {DIVERGES}, diverged at step {step}; it was measured up to there."
    assert sentence in (project / REPORT / "summary.md").read_text()
    assert "it was measured up to there" in (project / REPORT / "report.html").read_text()
    audited = run_module(project, "workflow_scripts.tools.audit", "--config", "preset=smoke")
    assert audited.returncode == 0, audited.stdout + audited.stderr

    edit(project / "mine/losses.py", "1e300", "1.0")
    planned = planned_jobs(project, ["preset=smoke"])
    trained = {tuple(job.wildcards.values()) for job in planned if job.rule == "train_model"}
    assert trained == {(ARM, str(seed)) for seed in (DIVERGES, GOES_ON)}
    assert {job.wildcards["arm"] for job in planned if "arm" in job.wildcards} == {ARM}
