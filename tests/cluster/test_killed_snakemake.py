"""A Snakemake that is killed leaves its jobs in the queue; the next one must not write beside them."""

import re
import signal

import pytest

from tests.cluster.snakemake_jobs import ClusterRun, overlapping
from tests.workflow.projects import copy_project, run_module, snakemake
from workflow_scripts.common.files import sha256_file

RESULTS = "results/MS1_min_snr/smoke"
RUNS = ("E1_baseline_linear/seed1077", "E1_baseline_linear/seed1078", "E2_minsnr_linear/seed1077")
TARGETS = [f"{RESULTS}/runs/{run}/log.csv" for run in RUNS]
COMPARED = [f"{RESULTS}/runs/{run}/{name}" for run in RUNS for name in ("log.csv", "checkpoints/step0000600.pt")]


@pytest.fixture
def longer(tmp_path):
    """A function that makes projects whose training takes a quarter of a minute."""

    def make(name):
        project = copy_project(tmp_path / name)
        path = project / "config/preset/smoke.yaml"
        text, count = re.subn(r"num_steps: 40\n", "num_steps: 600\n", path.read_text())
        text, again = re.subn(r"checkpoint_steps: \[20, 40\]", "checkpoint_steps: [20, 600]", text)
        assert count == again == 1
        path.write_text(text)
        return project

    return make


def test_after_kill_9_no_two_jobs_write_the_same_outputs_and_the_result_is_equal(slurm, longer):
    project = longer("project")
    killed = ClusterRun(slurm, project, *TARGETS)

    def jobs():
        return [job for job in slurm.jobs() if job["workdir"] == str(project)]

    # two jobs run, since there are two GPUs, and one waits
    killed.wait_until(lambda: sorted(job["state"] for job in jobs()) == ["PENDING", "RUNNING", "RUNNING"])
    killed.wait_until(lambda: len([log for log in (project / RESULTS / "logs/train_model").glob("*.log") if "steps/s" in log.read_text()]) == 2)
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    left = [job["id"] for job in jobs()]
    assert [job["state"] for job in jobs()].count("RUNNING") == 2, "the jobs outlive the Snakemake that submitted them"

    unlocked = run_module(project, "snakemake", "--unlock", "--config", "preset=smoke")
    assert unlocked.returncode == 0, unlocked.stderr
    restarted = ClusterRun(slurm, project, *TARGETS)
    assert restarted.finish() == 0, restarted.said
    assert f"SLURM still has 3 jobs ({', '.join(left)}) of a Snakemake that was killed; cancelling" in restarted.said
    states = {job["id"]: job["state"] for job in jobs()}
    assert all(states.pop(job) != "COMPLETED" for job in left)
    assert list(states.values()) == ["COMPLETED"] * 3, restarted.said
    assert overlapping(jobs()) == []

    reference = longer("reference")
    assert snakemake(reference, *TARGETS).returncode == 0
    for path in COMPARED:
        assert sha256_file(project / path) == sha256_file(reference / path), path
