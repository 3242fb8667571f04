"""What a job may take on a cluster is no part of what it computes."""

from tests.workflow.projects import snakemake

PRESET = "config/preset/smoke.yaml"


def test_other_limits_run_nothing_again(finished):
    with open(finished / PRESET, "a") as preset:
        preset.write("resources: {training: {runtime: 7, mem_mb: 900}, metrics: {runtime: 1}}\n")
    said = snakemake(finished, "--dry-run").stdout
    assert "Nothing to be done" in said, said
    # and they are read: the same jobs, forced, have them
    forced = snakemake(finished, "--dry-run", "--forcerun", "train_model", "--quiet", "progress").stdout
    assert "runtime=7" in forced and "mem_mb=900" in forced, forced


def test_a_misspelt_stage_is_one_line(project):
    with open(project / PRESET, "a") as preset:
        preset.write("resources: {trainig: {runtime: 7}}\n")
    result = snakemake(project, "--dry-run")
    said = result.stdout + result.stderr
    assert result.returncode != 0 and "Traceback" not in said
    assert "resources.trainig is not a known key; did you mean 'training'?" in said
