"""report.html built again from the same results: the same bytes, in another folder and under another user."""

from tests.workflow.projects import snakemake

PAGE = "reports/MS1_min_snr/smoke/report.html"


def test_the_page_has_the_same_bytes_when_built_again_elsewhere(smoke_run, finished, monkeypatch):
    for name in ("USER", "LOGNAME", "HOME"):
        monkeypatch.setenv(name, str(finished / "somebody-else"))
    (finished / PAGE).unlink()
    again = snakemake(finished, PAGE, "--forcerun", "build_report", "--allowed-rules", "build_report")
    assert again.returncode == 0, again.stderr
    assert (finished / PAGE).read_bytes() == (smoke_run[0] / PAGE).read_bytes()
    assert str(smoke_run[0]) not in (finished / PAGE).read_text(encoding="utf-8")
