"""The smoke study through sbatch, one job of it cancelled on the way: the same bytes as on one machine."""

import re
from collections import Counter

from tests.cluster.snakemake_jobs import ClusterRun, latency_table
from tests.workflow.projects import copy_project, snakemake
from workflow_scripts.core.files import sha256_file

RESULTS = "results/MS1_min_snr/smoke"
COMPARED = (f"{RESULTS}/results.jsonl", f"{RESULTS}/verdict.json", "reports/MS1_min_snr/smoke/summary.md")
# What the profile makes one job of, and how many there are in the smoke study (2 arms, 2 seeds, 3 NFE, 2 checkpoints).
EXPECTED_JOBS = {
    "reference_compute_reference_train_extractor": 1,
    "train_model": 4 + 1,  # one is cancelled and submitted again
    "evaluate_compute_metrics_extract_features_measure_finite_sample_sample_images": 4,
    "evaluate_compute_metrics_extract_features_sample_images": 8,
    "probe_checkpoint": 8,
}


def test_the_study_through_sbatch_equals_the_study_on_one_machine(slurm, smoke_run, tmp_path, show):
    project = copy_project(tmp_path / "project")

    def jobs_now():
        return [job for job in slurm.jobs() if job["workdir"] == str(project)]

    def training():
        return [
            job["id"]
            for job in jobs_now()
            if job["state"] == "RUNNING" and job["comment"].startswith("rule_train_model")
        ]

    run = ClusterRun(slurm, project)
    run.wait_until(training)
    cancelled = training()[0]
    slurm.call("scancel", cancelled)
    code = run.finish()
    jobs = jobs_now()
    show(f"The smoke study on SLURM, seconds:\n{latency_table(jobs, run.seen)}")
    assert code == 0, run.said
    assert Counter(re.sub("^rule_|_wildcards_.*", "", job["comment"]) for job in jobs) == EXPECTED_JOBS
    assert [job["id"] for job in jobs if job["state"] != "COMPLETED"] == [cancelled]
    assert run.seen.keys() == {job["id"] for job in jobs} - {cancelled}
    assert {job["partition"] for job in jobs} == {"gpu"}
    # half an hour and 2 GB per step (rules/cluster.smk); in a group the time of steps that follow each other adds up, and
    # the memory of steps that may run side by side
    assert {job["gres"] for job in jobs} == {"gres:gpu:1"} and {job["memory"] for job in jobs} == {
        "2000M",
        "4000M",
    }
    assert {job["limit"] for job in jobs} == {"30:00", "1:00:00", "1:30:00"}
    local, _ = smoke_run
    for path in COMPARED:
        assert sha256_file(project / path) == sha256_file(local / path), (
            f"{path} differs from that of the local run"
        )
    # What a job recorded about itself is what Snakemake compares, with and without the cluster.
    again = snakemake(project, "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr, again.stdout + again.stderr
