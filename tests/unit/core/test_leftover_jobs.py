"""Which SLURM jobs are cancelled, with stand-ins for SLURM's commands; tests/cluster has the real ones."""

import pytest

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.leftover_jobs import cancel_leftover_jobs, target, targets_of

RESULTS = "results/MS1/smoke"
TRAIN = "train_model:arm=E1,seed=1"


def script(*targets, results=RESULTS):
    """A batch script as snakemake-executor-plugin-slurm 2.8.0 has it, shortened."""
    listed = " ".join(f"'{each}'" for each in targets)
    return (
        "#!/bin/sh\n# This script was created by sbatch --wrap.\n\n"
        f"python -m snakemake --snakefile '/p/Snakefile' --target-jobs {listed} --allowed-rules a b "
        f"--wait-for-files '/p/.snakemake/tmp.x' '{results}/data/train.npz' --force --mode 'remote'\n"
    )


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A folder that stands for the queue: one file `<id>` per job, with its folder and then its script."""
    jobs, programs = tmp_path / "queue", tmp_path / "bin"
    jobs.mkdir()
    programs.mkdir()
    for name, body in {
        "squeue": f'cd {jobs}; for job in $(ls); do echo "$job $(head -n 1 $job)"; done',
        "scontrol": f'tail -n +2 "{jobs}/$3"',
        "scancel": f'cd {jobs} && rm "$@"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return jobs


def test_only_jobs_of_this_folder_study_preset_and_these_outputs_are_cancelled(queue, tmp_path):
    (queue / "1").write_text(f"{tmp_path}\n{script(TRAIN)}")
    (queue / "2").write_text(f"/elsewhere\n{script(TRAIN)}")
    (queue / "3").write_text(f"{tmp_path}\n{script(TRAIN, results='results/MS1/cifar10')}")
    (queue / "4").write_text(f"{tmp_path}\n{script('train_model:arm=E1,seed=2')}")
    (queue / "5").write_text(f"{tmp_path}\n{script('sample_images:arm=E1,nfe=0010', TRAIN)}")
    (queue / "6").write_text(f"{tmp_path}\n#!/bin/sh\necho my own job in {RESULTS}/\n")
    said = []
    assert cancel_leftover_jobs(tmp_path, RESULTS, {TRAIN, "draw:"}, said.append) == ["1", "5"]
    assert sorted(path.name for path in queue.iterdir()) == ["2", "3", "4", "6"]
    assert len(said) == 1 and "2 jobs (1, 5)" in said[0]


def test_an_empty_queue_is_silent(queue, tmp_path):
    assert cancel_leftover_jobs(tmp_path, RESULTS, {TRAIN}, pytest.fail) == []


def test_a_job_that_does_not_end_stops_the_run(queue, tmp_path, monkeypatch):
    (queue / "1").write_text(f"{tmp_path}\n{script(TRAIN)}")
    (tmp_path / "bin" / "scancel").write_text("#!/bin/sh\n")
    monkeypatch.setattr("workflow_scripts.core.leftover_jobs.LONGEST_WAIT_S", 0.1)
    with pytest.raises(PipelineError, match="jobs 1 were cancelled but do not end"):
        cancel_leftover_jobs(tmp_path, RESULTS, {TRAIN}, lambda line: None)


def test_a_silent_slurm_stops_the_run(queue, tmp_path):
    silent = "#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n"
    (tmp_path / "bin" / "squeue").write_text(silent)
    with pytest.raises(PipelineError, match="SLURM does not answer .*Unable to contact slurm controller"):
        cancel_leftover_jobs(tmp_path, RESULTS, {TRAIN}, pytest.fail)


def test_targets_are_read_whatever_the_order_of_their_wildcards():
    assert targets_of(script("train_model:seed=1,arm=E1", "draw:")) == {TRAIN, "draw:"}
    assert target("train_model", {"seed": "1", "arm": "E1"}) == TRAIN
    assert targets_of("#!/bin/sh\necho 'not closed\n") == targets_of("#!/bin/sh\nsleep 1\n") == set()
