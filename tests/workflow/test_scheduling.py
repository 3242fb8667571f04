"""What Snakemake itself takes of the machine while jobs run."""

from tests.workflow.projects import snakemake

FIGURES = "reports/MS1_min_snr/smoke/figures"


def test_jobs_are_selected_when_one_has_ended_and_not_every_second(finished):
    """One core, so that figures wait for each other for many seconds, in which nothing is to be selected."""
    drawn = sorted(path.relative_to(finished).as_posix() for path in (finished / FIGURES).glob("*.svg"))
    for path in drawn:
        (finished / path).unlink()
    again = snakemake(finished, *drawn, "--verbose", cores="1")
    assert again.returncode == 0, again.stderr
    said = again.stdout + again.stderr
    assert said.count("Finished jobid: ") == len(drawn) > 5
    # once at first, and once after each job
    assert len(drawn) <= said.count("Ready jobs: ") <= len(drawn) + 1
