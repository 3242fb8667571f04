"""The whole study at smoke scale: what is there afterwards, and that nothing runs twice."""

import csv
import html
import json
import re
import zipfile
from pathlib import Path

import pytest

from tests.workflow.projects import run_module, snakemake
from workflow_scripts.report.figure_list import FIGURES

RESULTS, REPORT = "results/MS1_min_snr/smoke", "reports/MS1_min_snr/smoke"
ARMS, SEEDS = ("E1_baseline_linear", "E2_minsnr_linear"), (1077, 1078)


def _rows(project):
    return [json.loads(line) for line in (project / RESULTS / "results.jsonl").read_text().splitlines()]


def test_it_ends_with_the_verdict_and_the_reports_path(smoke_run):
    project, finished = smoke_run
    said = finished.stdout + finished.stderr
    assert f"report: {REPORT}/report.html" in said and "E2.H1" in said
    assert (project / REPORT / "report.html").is_file()


def test_long_work_shows_progress(smoke_run):
    said = smoke_run[1].stdout + smoke_run[1].stderr
    for words in ("steps/s", "images/s", "loss ", "(100%) done"):
        assert words in said, words


def test_everything_promised_is_there(smoke_run):
    project, _ = smoke_run
    figures = {path.stem for path in (project / "reports/captions").glob("*.rst")}
    assert len(figures) >= 8
    for name in figures:
        assert (project / REPORT / "figures" / f"{name}.svg").read_text().lstrip().startswith("<?xml")
        assert (project / REPORT / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (project / REPORT / "figures" / f"{name}.csv").stat().st_size > 0
    for template in (project / "reports/notebooks").glob("*.ipynb"):
        assert (project / REPORT / "notebooks" / template.name).is_file()
        assert (project / REPORT / "notebooks" / f"{template.stem}.html").is_file()


def test_every_page_says_rehearsal(smoke_run):
    project, _ = smoke_run
    for page in [
        "summary.md",
        "report.html",
        *(f"notebooks/{p.name}" for p in (project / REPORT / "notebooks").glob("*.html")),
    ]:
        assert "rehearsal" in (project / REPORT / page).read_text().lower(), page


def test_results_hold_every_run_with_its_identity(smoke_run):
    rows = _rows(smoke_run[0])
    frechet = {(r["arm"], r["seed"], r["sampler"], r["nfe"]) for r in rows if r["metric"] == "fd_digits"}
    assert frechet == {
        (a, s, *pair) for a in ARMS for s in SEEDS for pair in (("ddpm", 10), ("ddpm", 50), ("ddim", 10))
    }
    traces = {
        (r["arm"], r["seed"], r["step"], r["objective"]) for r in rows if r["metric"] == "hessian_trace"
    }
    assert traces == {
        (a, s, step, o) for a in ARMS for s in SEEDS for step in (20, 40) for o in ("common", "own")
    }
    assert {r["checkpoint_sha256"] for r in rows if r["metric"] == "fd_digits"}.__len__() == 4
    assert len({r["reference_sha256"] for r in rows if r["metric"] == "fd_digits"}) == 1
    assert len({r["probe_sha256"] for r in rows if r["metric"] == "hessian_trace"}) == 1


def test_arms_with_one_seed_meet_the_same_randomness(smoke_run):
    """The first logged mse of both arms comes from almost the same weights on the same batches, t and noise."""
    firsts = {}
    for arm in ARMS:
        for seed in SEEDS:
            with open(smoke_run[0] / RESULTS / "runs" / arm / f"seed{seed}" / "log.csv") as handle:
                firsts[arm, seed] = float(next(csv.DictReader(handle))["mse"])
    for seed in SEEDS:
        between_arms = abs(firsts[ARMS[0], seed] - firsts[ARMS[1], seed])
        between_seeds = abs(firsts[ARMS[0], 1077] - firsts[ARMS[0], 1078])
        assert between_arms < between_seeds


def test_the_verdict_agrees_with_the_rows(smoke_run):
    project, _ = smoke_run
    verdict = json.loads((project / RESULTS / "verdict.json").read_text())
    assert verdict["rehearsal"] is True and verdict["preregistered_preset"] == "cifar10"
    values = {
        (r["arm"], r["seed"]): r["value"]
        for r in _rows(project)
        if r["metric"] == "fd_digits" and r["sampler"] == "ddpm" and r["nfe"] == 50
    }
    (h1,) = [h for h in verdict["hypotheses"] if h["id"] == "E2.H1"]
    assert [item["seed"] for item in h1["seeds"]] == list(SEEDS)
    for item in h1["seeds"]:
        expected = values[ARMS[1], item["seed"]] / values[ARMS[0], item["seed"]] - 1
        assert item["relative_change"] == pytest.approx(expected, rel=1e-12)


def test_a_second_run_has_nothing_to_do(finished):
    again = snakemake(finished)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr


def _planned(project):
    said = snakemake(project, "--dry-run")
    assert said.returncode == 0, said.stderr
    lines = (said.stdout + said.stderr).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("job "))
    table = [line.split() for line in lines[start + 2 :]]
    return {row[0]: int(row[1]) for row in table[: next(i for i, row in enumerate(table) if len(row) != 2)]}


def test_an_amendment_retrains_nothing_and_hides_no_other_change(finished):
    preregistration = finished / "docs/experiments/E2_pre_reg.md"
    preregistration.write_text(preregistration.read_text() + "\nA clarification.\n")
    amended = run_module(
        finished, "workflow_scripts.tools.lock", "amend", "--reason", "clarified", "--results-seen", "yes"
    )
    assert amended.returncode == 0, amended.stderr
    assert "train_model" not in _planned(finished) and "check_preregistration" in _planned(finished)
    sampler = finished / "workflow_scripts/sampling/sample.py"
    sampler.write_text(sampler.read_text().replace("x_T", "x_start_noise"))
    assert {"sample_images", "check_preregistration"} <= _planned(finished).keys()


def test_the_same_run_trains_to_the_same_bytes(finished):
    """One training run again, in another process and folder: checkpoints are equal byte for byte."""
    run = finished / RESULTS / "runs" / ARMS[1] / "seed1077"
    before = {path.name: path.read_bytes() for path in (run / "checkpoints").glob("*.pt")}
    assert len(before) == 2
    again = snakemake(finished, "--force", f"{RESULTS}/runs/{ARMS[1]}/seed1077/log.csv")
    assert again.returncode == 0, again.stderr
    assert {path.name: path.read_bytes() for path in (run / "checkpoints").glob("*.pt")} == before


def test_snakemakes_own_report_has_the_same_figures_captions_and_headings_and_needs_no_network(
    finished, monkeypatch
):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing answers there
    monkeypatch.setenv("no_proxy", "")
    made = snakemake(finished, "--report", "snakemake-report.zip")
    assert made.returncode == 0, made.stderr
    with zipfile.ZipFile(finished / "snakemake-report.zip") as archive:
        files = {Path(name).name: archive.read(name) for name in archive.namelist() if name.endswith(".svg")}
        page = next(
            archive.read(name) for name in archive.namelist() if name.endswith("report.html")
        ).decode()
    shown = json.loads(re.search(r"^ *var results = (\{.*\});?$", page, flags=re.MULTILINE)[1])
    headings = json.loads(re.search(r"^ *var categories = (\{.*\});?$", page, flags=re.MULTILINE)[1])
    assert {Path(path).stem for path in shown} == set(FIGURES)
    for path, figure in shown.items():
        name = Path(path).stem
        caption = (finished / f"reports/captions/{name}.rst").read_text()
        assert " ".join(html.unescape(re.sub(r"<[^>]+>", "", figure["caption"])).split()) == " ".join(
            caption.split()
        )
        assert figure["labels"] == {"figure": FIGURES[name].title}
        assert [heading for heading, parts in headings.items() if path in sum(parts.values(), [])] == [
            FIGURES[name].section
        ]
        assert files[f"{name}.svg"] == (finished / path).read_bytes()
    assert not re.search(r"(src|href)=.https?://[^>]*\.(js|css)", page)


def test_the_preregistered_study_is_planned_in_full(project):
    planned = snakemake(project, "--dry-run", config="preset=cifar10")
    assert planned.returncode == 0, planned.stderr
    counts = dict(line.split() for line in planned.stdout.splitlines() if len(line.split()) == 2)
    assert (counts["train_model"], counts["sample_images"], counts["probe_checkpoint"]) == (
        "21",
        "252",
        "105",
    )


def test_make_help_lists_the_targets(project):
    import subprocess

    said = subprocess.run(["make", "help"], cwd=project, capture_output=True, text=True)
    assert said.returncode == 0
    for target in ("report", "test", "lock", "amend", "plan"):
        assert f"make {target}" in said.stdout
    assert run_module(project, "workflow_scripts.tools.lock", "--help").returncode == 0
