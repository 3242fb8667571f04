"""Only the summary of the preregistered preset is published, word for word, under its configured name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.report import made_up_report as made_up
from workflow_scripts.core.files import canonical_json, sha256_text, write_json, write_json_lines, write_text
from workflow_scripts.study.config import load_study
from workflow_scripts.study.description import gate_settings, report_settings, verdict_settings
from workflow_scripts.study.gate import open_gate
from workflow_scripts.study.power import power_of
from workflow_scripts.study.preregistration import read_preregistrations
from workflow_scripts.study.verdict import decide
from workflow_scripts.tools.publish import _current_summary, main

ROOT = Path(__file__).resolve().parents[3]
STUDY, PRESET = "MS1_min_snr", "cifar10"
PUBLISHED = "docs/experiments/MS1_summary.md"


@pytest.fixture
def project(tmp_path) -> Path:
    """The project's configuration and preregistrations with made-up results of the preregistered preset."""
    for part in ("config", "docs/experiments", "reports/templates"):
        shutil.copytree(ROOT / part, tmp_path / part)
    study = load_study(tmp_path, STUDY, PRESET)
    preregistrations = read_preregistrations(tmp_path, STUDY)
    report = report_settings(tmp_path, study, preregistrations)
    results = tmp_path / "results" / STUDY / PRESET
    renamed = {"fd_toy": "fid", "kd_toy": "kid"}
    rows = []
    for row in made_up.result_rows(report, "better", tuple(arm["name"] for arm in report["arms"])):
        on, step = row["on"], report["final_step"] if row["from"]["step"] == 200 else 10_000
        own = {"num_samples": 10_000, "extractor": "fid"} if "extractor" in on else {}
        metric = renamed.get(row["metric"], row["metric"])
        rows.append(row | {"metric": metric, "from": {**row["from"], "step": step}, "on": {**on, **own}})
    write_json_lines(results / "results.jsonl", rows)
    settings = verdict_settings(study, preregistrations)
    verdict = decide(settings["hypotheses"], rows, settings["analysis"], settings["context"])
    digest = sha256_text("".join(canonical_json(row) + "\n" for row in rows))
    documents = {
        "verdict.json": verdict | {"results_sha256": digest},
        "power.json": power_of(verdict, [], {"E1": 3, "E2": 3, "E3": 3}),
        "gate.json": open_gate(tmp_path, gate_settings(tmp_path, study, preregistrations)),
        "stats/scale_marks.json": made_up.SCALE_MARKS,
        "data/manifest.json": made_up.MANIFEST,
        "extractor/extractor.json": made_up.EXTRACTOR | {"name": "fid", "test_accuracy": None},
    }
    for arm in report["arms"]:
        for seed in report["seeds"]:
            finite = {"arm": arm["name"], "seed": seed, "value": 8.0, "stderr": 0.1, "by_num_samples": []}
            documents[f"runs/{arm['name']}/seed{seed}/finite_sample/ddpm_nfe0050.json"] = finite
    for name, document in documents.items():
        write_json(results / name, document)
    text = _current_summary(tmp_path, study, preregistrations)
    write_text(tmp_path / "reports" / STUDY / PRESET / "summary.md", text)
    return tmp_path


def refused(project: Path, capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments), project)
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert not (project / PUBLISHED).exists()
    return said.err


def test_the_same_text_under_the_name_that_configuration_gives(project, capsys):
    main([], project)
    published = (project / PUBLISHED).read_text(encoding="utf-8")
    assert published == (project / "reports" / STUDY / PRESET / "summary.md").read_text(encoding="utf-8")
    assert "| E2.H1 | confirmatory |" in published and "FID" in published
    assert "rehearsal" not in published.lower()
    assert capsys.readouterr().out.startswith(f"{PUBLISHED}: the summary of MS1_min_snr, preset cifar10")
    base = project / f"config/study/{STUDY}/base.yaml"
    base.write_text(base.read_text().replace(PUBLISHED, "docs/experiments/Other.md"))
    main(["--preset", "cifar10"], project)
    assert (project / "docs/experiments/Other.md").read_text(encoding="utf-8") == published


def test_a_rehearsal_is_refused_in_one_line(project, capsys):
    assert "preset digits is a rehearsal of MS1_min_snr, which is preregistered for cifar10" in refused(
        project, capsys, "--preset", "digits"
    )


def test_edited_missing_and_stale_files_are_refused(project, capsys):
    summary = project / "reports" / STUDY / PRESET / "summary.md"
    text = summary.read_text(encoding="utf-8")
    summary.write_text(text.replace("better", "much better", 1), encoding="utf-8")
    assert "does not match its results and settings" in refused(project, capsys)
    summary.unlink()
    assert "cannot read reports/MS1_min_snr/cifar10/summary.md" in refused(project, capsys)
    summary.write_text(text, encoding="utf-8")
    results = project / "results" / STUDY / PRESET / "results.jsonl"
    lines = results.read_text(encoding="utf-8").splitlines(keepends=True)
    results.write_text("".join(lines[:-1]), encoding="utf-8")
    assert "decided from other results" in refused(project, capsys)
    results.with_name("verdict.json").unlink()
    assert "at its preregistered preset cifar10; run: make report" in refused(project, capsys)


def test_nothing_is_published_after_the_lock_has_drifted(project, capsys):
    path = project / "docs/experiments/E2_pre_reg.md"
    path.write_text(path.read_text(encoding="utf-8") + "\nAn afterthought.\n", encoding="utf-8")
    assert "drifted" in refused(project, capsys)


def test_nothing_but_configuration_knows_the_study_by_name():
    for path in [*ROOT.glob("workflow_scripts/**/*.py"), *ROOT.glob("rules/*.smk"), ROOT / "Snakefile"]:
        assert "MS1" not in path.read_text(encoding="utf-8"), path
