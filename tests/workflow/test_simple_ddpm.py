"""The study of a plain DDPM and a conditional GAN, once at smoke scale."""

import json

import pytest

from tests.workflow.projects import copy_project, run_module, said, snakemake
from workflow_scripts.study.results import read_rows

pytestmark = pytest.mark.slow
STUDY = "DD1_simple_ddpm"
CONFIG = [f"study={STUDY}", "preset=smoke"]
RESULTS, REPORT = f"results/{STUDY}/smoke", f"reports/{STUDY}/smoke"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("ddpm") / "project")
    done = snakemake(project, config=" ".join(CONFIG))
    assert done.returncode == 0, said(done)
    return project


def test_every_arm_is_measured_and_the_matched_one_takes_as_many_flops(study):
    rows = read_rows(study / RESULTS / "results.jsonl")
    of = {(row["arm"], row["metric"]): row for row in rows if row["metric"] == "training_flops"}
    flops = {arm: row["value"] for (arm, _), row in of.items()}
    assert flops["E4_cgan_flop_matched"] == pytest.approx(flops["E3_class"], rel=0.02)
    assert flops["E4_cgan"] != pytest.approx(flops["E3_class"], rel=0.02)
    measured = {arm: {row["metric"] for row in rows if row["arm"] == arm} for arm in flops}
    everywhere = {"fd_digits", "recall", "class_kl", "gradient_spikes", "frechet_rises", "training_flops"}
    assert all(everywhere <= names for names in measured.values())
    assert "excess_total_variation" in measured["E1_linear"] - measured["E4_cgan"]
    assert "class_accuracy" in measured["E4_cgan"] & measured["E3_class"] - measured["E1_linear"]


def test_the_page_answers_the_claims_and_draws_what_it_needs(study):
    page = (study / REPORT / "report.html").read_text()
    summary = (study / REPORT / "summary.md").read_text()
    for heading in ("Claims", "Smoothness", "Classes", "Noise schedules", "Matched FLOPs"):
        assert heading in page and heading in summary
    assert "no theorem" in page and "signal" in page
    drawn = {path.stem for path in (study / REPORT / "figures").glob("*.svg")}
    assert {"loss_by_epoch", "noise_schedules", "class_grid", "class_histogram", "frechet_vs_step"} <= drawn
    verdict = json.loads((study / RESULTS / "verdict.json").read_text())
    run = {item["id"] for item in verdict["hypotheses"] if item["outcome"] != "not_run"}
    assert {"E1.H3", "E3.H1", "E4.H3"} <= run


def test_its_audit_passes(study):
    audit = run_module(study, "workflow_scripts.tools.audit", "--config", *CONFIG)
    assert audit.returncode == 0, said(audit)
