"""What a job may take on a cluster is no part of what it computes."""

from tests.workflow.projects import snakemake

PRESET = "config/preset/smoke.yaml"


def test_other_limits_run_nothing_again(finished):
    with open(finished / PRESET, "a") as preset:
        preset.write("resources: {training: {runtime: 7, mem_mb: 900}, metrics: {runtime: 1}}\n")
    unforced = snakemake(finished, "--dry-run")
    assert "Nothing to be done" in unforced.stdout + unforced.stderr, unforced.stdout + unforced.stderr
    # and they are read: the same jobs, forced, have them
    forced = snakemake(finished, "--dry-run", "--forcerun", "train_model", "--quiet", "progress")
    said = forced.stdout + forced.stderr
    assert "runtime=7" in said and "mem_mb=900" in said, said


def test_a_misspelt_stage_is_one_line(project):
    with open(project / PRESET, "a") as preset:
        preset.write("resources: {trainig: {runtime: 7}}\n")
    result = snakemake(project, "--dry-run")
    said = result.stdout + result.stderr
    assert result.returncode != 0 and "Traceback" not in said
    assert "resources.trainig is not a known key; did you mean 'training'?" in said
