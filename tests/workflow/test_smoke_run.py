"""The whole study at smoke scale: everything promised is there afterwards, and nothing runs twice."""

import html
import json
import re
import zipfile
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.projects import run_module, snakemake
from workflow_scripts.provenance.planned_jobs import planned_jobs
from workflow_scripts.report.figures import FIGURES
from workflow_scripts.study.results import flat, read_rows

pytestmark = pytest.mark.slow

RESULTS, REPORT = "results/MS1_min_snr/smoke", "reports/MS1_min_snr/smoke"
DRAWN = {
    name for name, figure in FIGURES.items() if figure.metric != "frechet_by_step" and not figure.of_section
}
ARMS, SEEDS = ("E1_baseline_linear", "E2_minsnr_linear"), (1077, 1078)


@pytest.fixture(scope="module")
def rows(smoke_run) -> pd.DataFrame:
    return pd.DataFrame(map(flat, read_rows(smoke_run[0] / RESULTS / "results.jsonl")))


def planned(project: Path, preset: str = "smoke") -> Counter:
    """How often each rule would run."""
    return Counter(job.rule for job in planned_jobs(project, [f"preset={preset}"]))


def test_it_shows_progress_and_ends_with_the_verdict_and_the_reports_path(smoke_run):
    said = smoke_run[1]
    for words in ("steps/s", "images/s", "loss ", "(100%) done", "E2.H1", f"report: {REPORT}/report.html"):
        assert words in said, words


def test_everything_promised_is_there_and_every_page_says_rehearsal(smoke_run):
    report = smoke_run[0] / REPORT
    assert len(DRAWN) >= 8
    for name in DRAWN:
        assert (report / "figures" / f"{name}.svg").read_text().lstrip().startswith("<?xml")
        assert (report / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (report / "figures" / f"{name}.csv").stat().st_size > 0
    notebooks = [path.stem for path in (smoke_run[0] / "reports/notebooks").glob("*.ipynb")]
    assert len(notebooks) == 2
    assert all((report / "notebooks" / f"{name}.ipynb").is_file() for name in notebooks)
    for page in ("summary.md", "report.html", *(f"notebooks/{name}.html" for name in notebooks)):
        assert "rehearsal" in (report / page).read_text().lower(), page


def test_results_have_every_run_with_its_identity(rows):
    frechet = rows[rows["metric"] == "fd_digits"]
    points = (("ddpm", 10), ("ddpm", 50), ("ddim", 10))
    measured = frechet[["arm", "seed", "sampler", "nfe"]].itertuples(index=False, name=None)
    assert set(measured) == {(arm, seed, *point) for arm in ARMS for seed in SEEDS for point in points}
    traces = rows[rows["metric"] == "hessian_trace"]
    measured = traces[["arm", "seed", "step", "objective"]].itertuples(index=False, name=None)
    assert set(measured) == {
        (arm, seed, step, objective)
        for arm in ARMS
        for seed in SEEDS
        for step in (20, 40)
        for objective in ("common", "own")
    }
    assert frechet["checkpoint_sha256"].nunique() == 4
    assert frechet["reference_sha256"].nunique() == traces["probe_sha256"].nunique() == 1


def test_arms_with_one_seed_meet_the_same_randomness(smoke_run):
    """The first logged mse of both arms comes from almost equal weights on the same batches, t and noise."""
    runs = smoke_run[0] / RESULTS / "runs"
    first = {
        (arm, seed): pd.read_csv(runs / arm / f"seed{seed}" / "log.csv")["mse"][0]
        for arm in ARMS
        for seed in SEEDS
    }
    between_seeds = abs(first[ARMS[0], 1077] - first[ARMS[0], 1078])
    assert all(abs(first[ARMS[0], seed] - first[ARMS[1], seed]) < between_seeds for seed in SEEDS)


def test_the_verdict_agrees_with_the_rows(smoke_run, rows):
    verdict = json.loads((smoke_run[0] / RESULTS / "verdict.json").read_text())
    assert verdict["rehearsal"] is True and verdict["preregistered_preset"] == "cifar10"
    main = rows.query("metric == 'fd_digits' and sampler == 'ddpm' and nfe == 50")
    values = main.set_index(["arm", "seed"])["value"]
    (h1,) = [h for h in verdict["hypotheses"] if h["id"] == "E2.H1"]
    assert [item["seed"] for item in h1["seeds"]] == list(SEEDS)
    for item in h1["seeds"]:
        expected = values[ARMS[1], item["seed"]] / values[ARMS[0], item["seed"]] - 1
        assert item["relative_change"] == pytest.approx(expected, rel=1e-12)


def test_a_second_run_has_nothing_to_do(finished):
    again = snakemake(finished)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr


def test_an_amendment_retrains_nothing_and_hides_no_other_change(finished):
    preregistration = finished / "docs/experiments/E2_pre_reg.md"
    preregistration.write_text(preregistration.read_text() + "\nA clarification.\n")
    amendment = ("amend", "--reason", "clarified", "--results-seen", "yes")
    amended = run_module(finished, "workflow_scripts.tools.lock", *amendment)
    assert amended.returncode == 0, amended.stderr
    assert "train_model" not in planned(finished) and "check_preregistration" in planned(finished)
    sampler = finished / "workflow_scripts/sampling/sample.py"
    sampler.write_text(sampler.read_text() + "\nCHANGED = True\n")
    assert {"sample_images", "check_preregistration"} <= planned(finished).keys()


def test_the_same_run_trains_to_the_same_bytes(finished):
    """One training run again, in another process and folder: checkpoints are equal byte for byte."""
    run = finished / RESULTS / "runs" / ARMS[1] / "seed1077"
    before = {path.name: path.read_bytes() for path in (run / "checkpoints").glob("*.pt")}
    assert len(before) == 2
    again = snakemake(finished, "--force", f"{RESULTS}/runs/{ARMS[1]}/seed1077/log.csv")
    assert again.returncode == 0, again.stderr
    assert {path.name: path.read_bytes() for path in (run / "checkpoints").glob("*.pt")} == before


def test_snakemakes_own_report_agrees_with_ours_and_needs_no_network(finished, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing answers there
    monkeypatch.setenv("no_proxy", "")
    made = snakemake(finished, "--report", "snakemake-report.zip")
    assert made.returncode == 0, made.stderr
    with zipfile.ZipFile(finished / "snakemake-report.zip") as archive:
        files = {Path(name).name: archive.read(name) for name in archive.namelist()}
    page = files["report.html"].decode()
    shown = json.loads(re.search(r"^ *var results = (\{.*\});?$", page, flags=re.MULTILINE)[1])
    headings = json.loads(re.search(r"^ *var categories = (\{.*\});?$", page, flags=re.MULTILINE)[1])
    assert {Path(path).stem for path in shown} == DRAWN
    for path, figure in shown.items():
        name = Path(path).stem
        caption = (finished / f"reports/captions/{name}.rst").read_text()
        assert html.unescape(re.sub(r"<[^>]+>", "", figure["caption"])).split() == caption.split()
        assert figure["labels"] == {"figure": FIGURES[name].title}
        under = [heading for heading, groups in headings.items() if path in str(groups)]
        assert under == [FIGURES[name].section]
        assert files[f"{name}.svg"] == (finished / path).read_bytes()
    assert not re.search(r"(src|href)=.https?://[^>]*\.(js|css)", page)


def test_the_preregistered_study_is_planned_in_full(project):
    counts = planned(project, "cifar10")
    wanted = {"train_model": 21, "sample_images": 252, "probe_checkpoint": 105}
    assert {rule: counts[rule] for rule in wanted} == wanted
