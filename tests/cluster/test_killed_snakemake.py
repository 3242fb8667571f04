"""A Snakemake that is killed leaves its jobs in the queue; the next one must not write beside them."""

import signal

from tests.cluster.long_training import RUNS, Uninterrupted, long_project
from tests.cluster.snakemake_jobs import ClusterRun, overlapping
from tests.workflow.projects import run_module

NUM_STEPS = 2000
TRAINED = ["E1_baseline_linear/seed1077", "E1_baseline_linear/seed1078"]
TARGETS = [f"{RUNS}/{run}/log.csv" for run in TRAINED]
# one job takes the whole cluster, so that the other one waits in the queue
BOTH_GPUS = ("--set-resources", "train_model:gres=gpu:2", "--")


def test_after_kill_9_no_two_jobs_write_the_same_outputs_and_the_result_is_equal(slurm, tmp_path):
    project = long_project(tmp_path / "project", NUM_STEPS)
    killed = ClusterRun(slurm, project, *BOTH_GPUS, *TARGETS)

    def one_trains_and_one_waits():
        logs = project.glob("results/*/smoke/logs/train_model/*.log")
        states = sorted(job["state"] for job in killed.jobs())
        return states == ["PENDING", "RUNNING"] and any("parameters" in log.read_text() for log in logs)

    killed.wait_until(one_trains_and_one_waits)
    # Stopped, it cannot end before the next Snakemake looks, however slow the machine is; scancel wakes it.
    slurm.call("scancel", "--full", "--signal=STOP", *(job["id"] for job in killed.jobs("RUNNING")))
    killed.wait_until(lambda: sorted(job["state"] for job in killed.jobs()) == ["PENDING", "STOPPED"])
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    left = [job["id"] for job in killed.jobs()]
    assert {job["state"] for job in killed.jobs()} == {"PENDING", "STOPPED"}  # they outlive their Snakemake

    unlocked = run_module(project, "snakemake", "--unlock", "--config", "preset=smoke")
    assert unlocked.returncode == 0, unlocked.stderr
    uninterrupted = Uninterrupted(tmp_path / "uninterrupted", NUM_STEPS, *TARGETS)
    # one job in the queue, so that the other one waits in Snakemake
    restarted = ClusterRun(slurm, project, "--jobs", "1", "--verbose", *BOTH_GPUS, *TARGETS)
    restarted.finish()
    assert overlapping(restarted.jobs()) == []
    assert f"SLURM still has 2 jobs ({', '.join(left)}) of a killed Snakemake; cancelling" in restarted.said
    states = {job["id"]: job["state"] for job in restarted.jobs()}
    assert all(states.pop(job) != "COMPLETED" for job in left)
    assert list(states.values()) == ["COMPLETED"] * 2, restarted.said
    assert uninterrupted.differing(project, TRAINED, NUM_STEPS) == []
    # jobs are looked for at first and when one has ended, not every second (core/snakemake_internals.py)
    finished, looks = restarted.said.count("Finished jobid: "), restarted.said.count("Ready jobs: ")
    assert finished >= 2 and 2 <= looks <= finished + 1
