"""The smoke study through sbatch, one job of it cancelled on the way: the same bytes as on one machine."""

import re
from collections import Counter

from tests.cluster.snakemake_jobs import ClusterRun
from tests.workflow.projects import copy_project, snakemake
from workflow_scripts.core.files import sha256_file

RESULTS = "results/MS1_min_snr/smoke"
COMPARED = (f"{RESULTS}/results.jsonl", f"{RESULTS}/verdict.json", "reports/MS1_min_snr/smoke/summary.md")
# The jobs that the profile makes of the smoke study (2 arms, 2 seeds, 3 NFE, 2 checkpoints).
EXPECTED_JOBS = {
    "reference_compute_reference_train_extractor": 1,
    "train_model": 4 + 1,  # one is cancelled and submitted again
    "evaluate_extract_features_measure_finite_sample_sample_images": 4,
    "evaluate_extract_features_sample_images": 8,
    "probe_checkpoint": 8,
}


def test_the_study_through_sbatch_equals_the_study_on_one_machine(slurm, smoke_run, tmp_path):
    project = copy_project(tmp_path / "project")
    run = ClusterRun(slurm, project)

    def training():
        running = [job for job in run.jobs() if job["state"] == "RUNNING"]
        return [job["id"] for job in running if job["comment"].startswith("rule_train_model")]

    run.wait_until(training)
    cancelled = training()[0]
    slurm.call("scancel", cancelled)
    run.finish()
    jobs = run.jobs()
    assert Counter(re.sub("^rule_|_wildcards_.*", "", job["comment"]) for job in jobs) == EXPECTED_JOBS
    assert [job["id"] for job in jobs if job["state"] != "COMPLETED"] == [cancelled]
    assert {job["partition"] for job in jobs} == {"gpu"}
    # Half an hour and 2 GB per step (rules/common.smk); in a group the time of steps that follow each other
    # adds up.
    assert {job["gres"] for job in jobs} == {"gres:gpu:1"}
    assert {job["memory"] for job in jobs} == {"2000M"}
    assert {job["limit"] for job in jobs} == {"30:00", "1:00:00", "1:30:00"}
    local, _ = smoke_run
    differing = [path for path in COMPARED if sha256_file(project / path) != sha256_file(local / path)]
    assert differing == []
    # What a job recorded about itself is what Snakemake compares, with and without the cluster.
    again = snakemake(project, "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr, again.stdout + again.stderr
