"""What the machine must have is looked for before the first job, and what is changed about it runs nothing again."""

import os

import pytest

from tests.workflow.projects import snakemake

RESULTS = "results/MS1_min_snr/smoke"
LOG = f"{RESULTS}/runs/E1_baseline_linear/seed1077/log.csv"


@pytest.mark.parametrize(
    ("arguments", "config", "message"),
    [
        ([], "device=cuda", "device: cuda is asked for, but torch sees no GPU here"),
        (["--resources", "mem_mb=300"], "device=cpu", "one train_model needs about 0."),
        ([], "device=gpu", "device is 'gpu'; did you mean 'cpu'?"),
    ],
)
def test_it_is_refused_in_one_line_before_the_first_job(project, monkeypatch, arguments, config, message):
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "")
    result = snakemake(project, LOG, *arguments, config=f"preset=smoke {config}")
    said = result.stdout + result.stderr
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and len(errors) == 1 and message in errors[0], said
    assert "Traceback" not in said and not (project / "results/MS1_min_snr").exists()


def test_settings_of_the_machine_run_nothing_again(finished):
    again = snakemake(finished, config="preset=smoke device=cpu save_every_s=7")
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr
