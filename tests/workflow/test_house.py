"""One small study with arms, points, metrics and hypotheses of every kind, most of them one's own."""

import json
import shutil

import pytest

from tests.workflow.projects import copy_project, run_module, said, snakemake
from workflow_scripts.provenance.planned_jobs import planned_jobs
from workflow_scripts.study.results import flat, read_rows

pytestmark = pytest.mark.slow
CONFIG = ["study=HOUSE", "preset=smoke"]
RESULTS, REPORT = "results/HOUSE/smoke", "reports/HOUSE/smoke"
STEP = 40


def copy_house(project):
    """Put the study where studies belong, and lock it."""
    study = project / "tests/house/study"
    shutil.copytree(study, project / "config/study/HOUSE")
    for name, target in (("blurred.yaml", "config/data"), ("HOUSE_pre_reg.md", "docs/experiments")):
        shutil.move(project / "config/study/HOUSE" / name, project / target / name)
    locked = run_module(project, "workflow_scripts.tools.lock", "lock", "--study", "HOUSE")
    assert locked.returncode == 0, locked.stderr
    return project


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    project = copy_house(copy_project(tmp_path_factory.mktemp("house") / "project"))
    done = snakemake(project, config=" ".join(CONFIG))
    assert done.returncode == 0, said(done)
    return project


def test_every_kind_of_arm_is_judged_at_its_points(house):
    rows = [flat(row) for row in read_rows(house / RESULTS / "results.jsonl")]
    points, measured = {}, {}
    for row in rows:
        points.setdefault(row["arm"], set()).add(row.get("point"))
        measured.setdefault(row["arm"], set()).add((row["metric"], row["step"]))
    points = {arm: found - {None} for arm, found in points.items()}
    assert points == {
        "E1_classes": {"ddim_nfe0004", "guided"},
        "E1_distilled": {"ddim_nfe0004"},
        "E1_plain": {"ddim_nfe0004"},
        "E2_gan": {"direct"},
        "E3_identity": {"direct"},
    }
    of_samples = {"fd_digits", "precision", "recall", "sharpness"}
    at_the_end = {(name, STEP) for name in (*of_samples, "excess_total_variation")}
    by_step = {("fd_digits", STEP // 2), ("fd_digits", STEP)}
    # no log shows a fall everywhere, and then has no excess
    log = {("excess_total_variation", STEP)}
    for arm, expected in (("E1_plain", at_the_end | by_step), ("E2_gan", at_the_end | by_step)):
        assert measured[arm] | log == expected
    assert measured["E3_identity"] == {(name, 0) for name in (*of_samples, "psnr")}
    seeds = {arm: sorted({row["seed"] for row in rows if row["arm"] == arm}) for arm in points}
    three, two = [1, 2, 3], [1, 2]
    arms = {"E1_classes": three, "E1_plain": three, "E1_distilled": two, "E2_gan": two, "E3_identity": [0]}
    assert seeds == arms
    (psnr,) = [row for row in rows if row["metric"] == "psnr"]
    assert 10 < psnr["value"] < 30 and "targets_sha256" in psnr
    of_kind = {(row["arm"], row.get("guidance_scale"), row["nfe"]) for row in rows if "nfe" in row}
    assert ("E1_classes", 2.0, 8) in of_kind and ("E2_gan", None, 1) in of_kind


def test_hypotheses_of_every_kind_are_decided_and_told(house):
    verdict = json.loads((house / RESULTS / "verdict.json").read_text())
    found = {item["id"]: item for item in verdict["hypotheses"]}
    kinds = {(item["estimand"], item["test"]) for item in found.values() if not item["how"]}
    assert kinds == {
        ("ratio", "superiority"),
        ("ratio", "noninferiority"),
        ("difference", "superiority"),
        ("difference", "noninferiority"),
        ("level", "bound"),
    }
    assert found["E1.H3"]["outcome"] == "held" and found["E1.H2"]["outcome"] == "held"
    assert found["E1.H4"]["outcome"] == "better" and len(found["E1.H4"]["seeds"]) == 3
    assert found["E1.H8"]["outcome"] == "held"
    assert all(item["outcome"] != "not_run" for item in found.values())
    page = (house / REPORT / "report.html").read_text()
    summary = (house / REPORT / "summary.md").read_text()
    for text in (page, summary):
        assert "Judged alone" in text and "conditional GAN" in text and "Curvature" not in text
    assert "guidance 2" in page and "2 to 3 seeds per arm (1, 2 and 3)" in summary
    # its loss is finite and its images are nearly one: measured, and told
    assert "The images of “conditional GAN”, seed 1, may have collapsed: their recall is 0.0" in summary
    assert "“the blurred image itself”, seed 0, may have collapsed" not in summary
    assert not list((house / REPORT / "figures").glob("curvature*"))
    assert (house / REPORT / "figures/frechet_vs_step.svg").exists()


def test_it_is_done_and_its_audit_passes(house):
    again = snakemake(house, "--dry-run", config=" ".join(CONFIG))
    assert "Nothing to be done" in said(again)
    audit = run_module(house, "workflow_scripts.tools.audit", "--config", *CONFIG)
    assert audit.returncode == 0, said(audit)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/house/sharpness.py", {"measure_sharpness"}),
        ("workflow_scripts/methods/gan.py", {"train_model"}),
        ("tests/house/distilled.py", {"train_model"}),
        ("tests/house/judged_alone.py", {"write_summary", "build_report"}),
    ],
)
def test_an_edit_of_ones_own_runs_what_uses_it(house, path, expected):
    text = (house / path).read_text()
    (house / path).write_text(text + "\nUNUSED = 1\n")
    try:
        jobs = planned_jobs(house, CONFIG)
    finally:
        (house / path).write_text(text)
    rules = {job.rule for job in jobs}
    assert expected <= rules
    first = {job.rule for job in jobs if "arm" in job.wildcards and job.rule.startswith(("train", "measure"))}
    arms = {job.wildcards["arm"] for job in jobs if job.rule == "train_model"}
    if arm := {"gan.py": "E2_gan", "distilled.py": "E1_distilled"}.get(path.rpartition("/")[2]):
        assert arms == {arm} and "train_network" not in rules
    elif path.endswith("judged_alone.py"):
        assert rules == {"render_notebook", "write_summary", "collect_costs", "build_report"}
    else:
        assert first == {"measure_sharpness"}


def test_another_teacher_retrains_it_and_its_pupils_only(house):
    base = house / "config/study/HOUSE/base.yaml"
    text = base.read_text()
    base.write_text(text.replace("seed: 7", "seed: 8"))
    try:
        jobs = planned_jobs(house, CONFIG)
    finally:
        base.write_text(text)
    trained = {(job.rule, *job.wildcards.values()) for job in jobs if job.rule.startswith("train_")}
    pupils = {("train_model", "E1_distilled", str(seed)) for seed in (1, 2)}
    assert trained == {("train_network", "teacher"), *pupils}


def test_the_spread_has_parts_where_samples_can_be_redrawn(house):
    found = json.loads((house / RESULTS / "power.json").read_text())
    parts = {item["id"]: item["from_samples"] is not None for item in found["hypotheses"] if item["spread"]}
    # distances, at a point of its own too; not recall, and not what single images or the log show
    assert {name for name, known in parts.items() if known} == {"E1.H1", "E1.H5"} and parts.keys() > {"E1.H2"}
    told = run_module(house, "workflow_scripts.tools.power", "--config", *CONFIG)
    assert told.returncode == 0 and "nothing, because this was no pilot" in told.stdout, said(told)
    assert any(line.split()[:6:5] == ["E1.H1", "3"] for line in told.stdout.splitlines()), told.stdout
    assert '<section id="power">' in (house / REPORT / "report.html").read_text()


def test_a_pilot_has_its_own_folder_seeds_networks_and_scratch_arms(house):
    scratch = house / "config/study/HOUSE/scratch"
    scratch.mkdir()
    (scratch / "X1_slower.yaml").write_text("training: {learning_rate: 1.0e-4}\n")
    try:
        assert planned_jobs(house, CONFIG) == []
        jobs = planned_jobs(house, [*CONFIG, "pilot=yes"])
    finally:
        shutil.rmtree(scratch)
    assert all(job.output_paths[0].split("/")[1:3] == ["HOUSE", "smoke_pilot"] for job in jobs)
    trained = {
        (job.wildcards.get("arm"), job.settings["seed"]) for job in jobs if job.rule.startswith("train_m")
    }
    assert {seed for _, seed in trained} == {1001, 1002, 1003} and ("X1_slower", 1002) in trained
    assert {job.settings["seed"] for job in jobs if job.rule == "train_network"} == {1007}
