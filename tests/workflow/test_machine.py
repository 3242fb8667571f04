"""Settings of the machine and limits of jobs: they are obeyed, and changing them runs nothing again."""

import re
from itertools import pairwise

import pytest

from tests.workflow.projects import ROOT, SMOKE, said, snakemake
from workflow_scripts.core.files import read_json

RUN = "results/MS1_min_snr/smoke/runs/E1_baseline_linear/seed1077"


def test_other_settings_of_the_machine_and_other_limits_run_nothing_again(finished):
    with open(finished / SMOKE, "a") as preset:
        preset.write("resources: {training: {runtime: 7, mem_mb: 900}, metrics: {runtime: 1}}\n")
    again = snakemake(finished, config="preset=smoke device=cpu save_every_s=7")
    assert again.returncode == 0 and "Nothing to be done" in said(again), said(again)
    # and they are read: the same jobs, forced, have them
    forced = said(snakemake(finished, "--dry-run", "--forcerun", "train_model", "--quiet", "progress"))
    assert "runtime=7" in forced and "mem_mb=900" in forced, forced


def test_arms_of_other_lengths_are_trained_under_one_name_and_have_the_same_limits():
    """Snakemake's rules are called by the length, manifests are not: an arm more may rename the rules."""
    given = ("--set-resources", "train_model:mem_mb=1234", "train_model_37:runtime=77")
    options = ("--dry-run", "--forceall", "--printshellcmds", *given, "--quiet", "progress")
    shown = said(snakemake(ROOT, *options, config="study=DD1_simple_ddpm preset=smoke"))
    jobs = dict(re.findall(r"(?ms)^rule (train_model\w*):(.*?)^\[", shown))
    assert jobs.keys() == {"train_model", "train_model_37"}, shown
    for name, runtime in (("train_model", 30), ("train_model_37", 77)):
        assert "mem_mb=1234" in jobs[name] and f"runtime={runtime}" in jobs[name]
        assert "--rule train_model " in jobs[name]


@pytest.mark.parametrize("memory_mb", ["2000", "500"])
def test_jobs_that_do_not_fit_together_into_mem_mb_run_one_after_another(finished, memory_mb):
    """Each job has 2,000 MB; where less is given, one job takes all of it."""
    made = [f"{RUN}/features/{name}.npz" for name in ("ddim_nfe0010", "ddpm_nfe0010", "ddpm_nfe0050")]
    for path in made:
        (finished / path).unlink()
    only = ("--allowed-rules", "extract_features", "--resources", f"mem_mb={memory_mb}")
    result = snakemake(finished, *made, "--verbose", *only)
    assert result.returncode == 0, result.stderr
    circumstances = [read_json(finished / f"{path}.manifest.json")["circumstances"] for path in made]
    times = sorted((each["started"], each["ended"]) for each in circumstances)
    assert all(ended <= started for (_, ended), (started, _) in pairwise(times)), times
    # jobs are looked for at first and when one has ended, not every second (core/snakemake_internals.py)
    assert len(made) <= said(result).count("Ready jobs: ") <= len(made) + 1


def test_nothing_of_the_users_environment_reaches_a_step(finished, tmp_path, monkeypatch):
    figure = "reports/MS1_min_snr/smoke/figures/training_curves.svg"
    notebook = "reports/MS1_min_snr/smoke/notebooks/01_results.html"
    before = [(finished / path).read_bytes() for path in (figure, notebook)]
    (tmp_path / "startup.py").write_text("import pandas\npandas.set_option('display.precision', 1)\n")
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "startup.py"))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("MPLBACKEND", "Qt4Agg")
    result = snakemake(finished, figure, notebook, "--forcerun", "draw_training_curves", "render_notebook")
    assert result.returncode == 0, said(result)
    assert [(finished / path).read_bytes() for path in (figure, notebook)] == before
