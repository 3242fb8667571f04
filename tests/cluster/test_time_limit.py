"""A run longer than a job's time limit finishes over several submissions, without anyone's help."""

from tests.cluster.long_training import RUNS, Uninterrupted, long_project
from tests.cluster.snakemake_jobs import ClusterRun, overlapping

# About a minute of training on a free core, which is more than a job of one minute has after it has started.
NUM_STEPS = 5000
RUN = "E1_baseline_linear/seed1077"
# SLURM's shortest limit. It looks at limits every half a minute, so the signal comes 10 to 40 s before the
# end. On a machine that is busy with something else a job gets little done in what is left, and more of them
# are needed.
ONE_MINUTE = ("--set-resources", "train_model:runtime=1", "--retries", "30")
SIGNAL = ("--default-resources", "slurm_partition=gpu", "gres=gpu:1", "slurm_extra='--signal=TERM@10'", "--")


def test_training_goes_on_in_the_next_job_where_the_time_limit_stopped_it(slurm, tmp_path):
    project = long_project(tmp_path / "project", NUM_STEPS)
    uninterrupted = Uninterrupted(tmp_path / "uninterrupted", NUM_STEPS, f"{RUNS}/{RUN}/log.csv")
    run = ClusterRun(slurm, project, *ONE_MINUTE, *SIGNAL, f"{RUNS}/{RUN}/log.csv")
    run.finish()
    assert overlapping(run.jobs()) == []
    *stopped, last = [job["state"] for job in run.jobs()]
    assert stopped and set(stopped) <= {"FAILED", "TIMEOUT"} and last == "COMPLETED"
    assert uninterrupted.differing(project, [RUN], NUM_STEPS) == []
    # it went on and did not start again: the last job's log says where
    (log,) = project.glob("results/*/smoke/logs/train_model/*_seed1077.log")
    assert "going on after step" in log.read_text(), log.read_text()
